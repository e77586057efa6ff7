"""UMT5's encoder: the published keys, padding, precision, and the three places its weights may live in."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.networks import text_umt5
from pipeline.networks.text_umt5 import UMT5, Residence, TextEncoder, UMT5Config, key_map, transformers_map

CONFIG = UMT5Config(vocabulary=40, dim=24, dim_attn=32, dim_ffn=36, num_heads=4, num_layers=2)
MANIFEST = Path(__file__).parents[2] / "shared/reference/manifests/models_t5_umt5-xxl-enc-bf16.pth.json"
CPU, META = torch.device("cpu"), torch.device("meta")
IDS = torch.tensor([[5, 9, 31, 7, 1], [12, 8, 1, 0, 0]])
MASK = (IDS != 0).long()


def published(seed: int = 0) -> dict[str, Tensor]:
    """Random weights under their published names, scaled so that every part matters and none saturates."""
    generator = torch.Generator().manual_seed(seed)
    with META:
        shapes = {key: value.shape for key, value in UMT5(CONFIG).state_dict().items()}
    weights = {key: torch.randn(shapes[ours], generator=generator) for key, ours in key_map(CONFIG).items()}
    for key, value in weights.items():
        if "norm" in key:
            value.mul_(0.3).add_(1.0)
        else:
            # Scores are not scaled by the width of a head, so queries are small, as when training begins.
            value.div_((value.shape[-1] * (CONFIG.dim_attn // CONFIG.num_heads if ".q." in key else 1)) ** 0.5)
    return weights


def network(dtype: torch.dtype = torch.float32) -> UMT5:
    """Load as a checkpoint is loaded: built without memory, tensors put in their places."""
    with META:
        empty = UMT5(CONFIG)
    names = key_map(CONFIG)
    empty.load_state_dict({names[key]: value.to(dtype) for key, value in published().items()}, assign=True)
    return empty


def bucket(relative: int) -> int:
    """Which of 32 rows a distance reads, from key minus query: 8 exact on each side, then log steps up to 128."""
    distance = abs(relative)
    far = 8 + int(math.log(max(distance, 1) / 8) / math.log(128 / 8) * 8)
    return (16 if relative > 0 else 0) + (distance if distance < 8 else min(15, far))


def by_hand(weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    """The encoder written out for one text without padding."""

    def norm(x: Tensor, key: str) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weights[key]

    def heads(x: Tensor, key: str) -> Tensor:
        return (x @ weights[key].T).unflatten(-1, (CONFIG.num_heads, -1)).transpose(0, 1)

    x = weights["token_embedding.weight"][ids]
    rows = torch.tensor([[bucket(key - query) for key in range(len(ids))] for query in range(len(ids))])
    for index in range(CONFIG.num_layers):
        at = f"blocks.{index}"
        h = norm(x, f"{at}.norm1.weight")
        q, k, v = (heads(h, f"{at}.attn.{part}.weight") for part in "qkv")
        table = weights[f"{at}.pos_embedding.embedding.weight"][rows].permute(2, 0, 1)
        seen = (q @ k.transpose(1, 2) + table).softmax(-1) @ v
        x = x + seen.transpose(0, 1).flatten(1) @ weights[f"{at}.attn.o.weight"].T
        h = norm(x, f"{at}.norm2.weight")
        g = h @ weights[f"{at}.ffn.gate.0.weight"].T
        gate = 0.5 * g * (1 + torch.tanh(math.sqrt(2 / math.pi) * (g + 0.044715 * g**3)))
        x = x + (gate * (h @ weights[f"{at}.ffn.fc1.weight"].T)) @ weights[f"{at}.ffn.fc2.weight"].T
    return norm(x, "norm.weight")


def test_every_key_of_the_published_checkpoint_has_its_place_and_every_place_its_key() -> None:
    """UMT5-XXL's encoder fits this class to the key and the shape, and nothing is left to be computed later."""
    if not MANIFEST.exists():
        pytest.skip("the reference manifests are not beside this checkout: names are not compared")
    manifest = {key: value["shape"] for key, value in json.loads(MANIFEST.read_text())["tensors"].items()}
    names = key_map(UMT5Config())
    with META:
        xxl = UMT5(UMT5Config())
    assert names.keys() == manifest.keys()
    assert {names[key]: shape for key, shape in manifest.items()} == {
        key: list(value.shape) for key, value in xxl.state_dict().items()
    }
    assert not list(xxl.buffers())


def test_every_key_of_the_library_is_accounted_for() -> None:
    """The map from a transformers checkpoint covers the library's own model, the table's second name with it."""
    from transformers import UMT5Config as LibraryConfig
    from transformers import UMT5EncoderModel

    with META:
        model = UMT5EncoderModel(LibraryConfig(vocab_size=40, d_model=24, num_layers=CONFIG.num_layers))
    names = transformers_map(CONFIG)
    assert names.keys() == model.state_dict().keys()
    assert set(names.values()) == key_map(CONFIG).keys()


@pytest.mark.parametrize("length", [6, 150])
def test_it_computes_what_the_papers_say(length: int) -> None:
    """Loaded under published names, it equals the encoder written out by hand, at far distances too."""
    ids = torch.randint(1, CONFIG.vocabulary, (length,), generator=torch.Generator().manual_seed(1))
    expected = by_hand({key: value.double() for key, value in published().items()}, ids)
    torch.testing.assert_close(network()(ids[None])[0].double(), expected, atol=2e-5, rtol=2e-5)


def test_padding_changes_nothing_but_rounding() -> None:
    """A text alone, in a batch of longer ones, and padded to 64 encodes to the same rows."""
    encoder = TextEncoder(network(), CPU)
    alone = encoder.encode(IDS[1:, :3], MASK[1:, :3])
    batched = encoder.encode(IDS, MASK)[1:, :3]
    room = torch.zeros(1, 64 - 3, dtype=torch.int64)
    padded = encoder.encode(torch.cat([IDS[1:, :3], room], 1), torch.cat([MASK[1:, :3], room], 1))[:, :3]
    torch.testing.assert_close(alone, batched, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, padded, atol=1e-5, rtol=1e-5)


def test_rows_behind_a_text_are_zero_and_only_those() -> None:
    """The encoder's own rows of padding are not zero; what the transformer is given is."""
    model = network()
    given = TextEncoder(model, CPU).encode(IDS, MASK)
    raw = model(IDS, MASK)
    assert given[1, 3:].abs().sum() == 0
    assert raw[1, 3:].abs().min() > 0
    assert torch.equal(given[MASK.bool()], raw[MASK.bool()])


def test_a_mask_hides_what_is_behind_it() -> None:
    """Other ids in the padding do not change a text; without the mask they do."""
    model, other = network(), IDS.clone()
    other[1, 3:] = 17
    torch.testing.assert_close(model(IDS, MASK)[1, :3], model(other, MASK)[1, :3], atol=0, rtol=0)
    assert (model(IDS)[1, :3] - model(other)[1, :3]).abs().max() > 1e-2


def test_in_bfloat16_every_weight_is_and_the_result_stays_near() -> None:
    """No weight is kept wider than it was given, and the rows stay within 0.08 of the float32 rms."""
    narrow = network(torch.bfloat16)
    assert {value.dtype for value in narrow.state_dict().values()} == {torch.bfloat16}
    wide, rows = network()(IDS, MASK), TextEncoder(narrow, CPU).encode(IDS, MASK)
    assert rows.dtype == torch.bfloat16
    valid = MASK.bool()
    assert (rows.float() - wide)[valid].abs().max() < 0.08 * wide[valid].square().mean().sqrt()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_streamed_equals_resident_to_the_bit(dtype: torch.dtype) -> None:
    """Layers that are copied as they run give what the whole model gives, and stay where they were."""
    model = network(dtype)
    before = [weight.data_ptr() for weight in model.parameters()]
    streamed = TextEncoder(model, CPU, "streamed").encode(IDS, MASK)
    assert torch.equal(streamed, TextEncoder(model, CPU, "device").encode(IDS, MASK))
    assert [weight.data_ptr() for weight in model.parameters()] == before


def test_streamed_copies_each_weight_to_the_device_but_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer, the last norm too, runs on the device on copies; of the token table only rows are moved."""
    model, moved = network(), list[Tensor]()
    encoder = TextEncoder(model, META, "streamed")
    original = Tensor.to

    def to(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        moved.append(self)
        return original(self, *args, **kwargs)  # pyright: ignore[reportCallIssue, reportArgumentType]

    monkeypatch.setattr(Tensor, "to", to)
    rows = encoder.encode(IDS, MASK)
    copied = {id(tensor) for tensor in moved}
    table = model.get_parameter("encoder.embed_tokens.weight")
    assert {id(weight) for weight in model.parameters()} - copied == {id(table)}
    assert (rows.device, rows.shape) == (META, (2, 5, CONFIG.dim))
    assert {weight.device for weight in model.parameters()} == {CPU}


def test_on_the_cpu_only_the_result_moves() -> None:
    """With the whole model in host memory the rows still come on the device."""
    model = network()
    rows = TextEncoder(model, META, "cpu").encode(IDS, MASK)
    assert (rows.device, rows.shape) == (META, (2, 5, CONFIG.dim))
    assert {weight.device for weight in model.parameters()} == {CPU}


@pytest.mark.gpu
@pytest.mark.parametrize("residence", ["cpu", "streamed"])
def test_the_gpu_gives_the_same_rows_wherever_the_weights_live(
    residence: Residence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CUDA streamed equals resident to the bit, from several slabs of pinned memory; the CPU's rounds else."""
    monkeypatch.setattr(text_umt5, "SLAB_BYTES", 8192)
    device = torch.device("cuda")
    expected = TextEncoder(network(), device).encode(IDS, MASK)
    model = network()
    rows = TextEncoder(model, device, residence).encode(IDS, MASK)
    assert rows.device.type == "cuda"
    assert {weight.device for weight in model.parameters()} == {CPU}
    if residence == "streamed":
        assert all(weight.is_pinned() for layer in model.layers for weight in layer.parameters())
        assert torch.equal(rows, expected)
    torch.testing.assert_close(rows, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.gpu
def test_bfloat16_on_the_gpu_is_as_near_as_on_the_cpu() -> None:
    """The published precision on CUDA stays within 0.08 of the float32 rms on the CPU."""
    wide = network()(IDS, MASK)[MASK.bool()]
    rows = TextEncoder(network(torch.bfloat16), torch.device("cuda")).encode(IDS, MASK)
    assert rows.dtype == torch.bfloat16
    assert (rows.float().cpu()[MASK.bool()] - wide).abs().max() < 0.08 * wide.square().mean().sqrt()
