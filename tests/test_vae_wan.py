import copy
import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.errors import ConfigError
from pipeline.networks.frame_decoder import FrameDecoder, VAEMemory
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_config import WanVAEConfig
from pipeline.networks.vae_wan_layers import ChannelNorm
from pipeline.parity import vae
from pipeline.parity.result import case

pytestmark = pytest.mark.usefixtures("one_thread")

REFERENCE = Path(__file__).parents[2] / "shared/reference"
CONFIG = WanVAEConfig(dim=8, num_res_blocks=1)


def network() -> WanVAE:
    torch.manual_seed(0)
    return WanVAE(CONFIG).eval().requires_grad_(False)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def video(frames: int, batch: int = 1) -> Tensor:
    return noise(batch, 3, frames, 16, 24).clamp(-1, 1)


def pieces(whole: Tensor, *cuts: int) -> list[Tensor]:
    return [whole[:, :, start:end] for start, end in pairwise((0, *cuts, whole.shape[2]))]


def decoded(model: WanVAE, parts: list[Tensor]) -> Tensor:
    memory, out = None, list[Tensor]()
    for part in parts:
        frames, memory = model.decode(part, memory)
        out.append(frames)
    return torch.cat(out, 2)


def encoded(model: WanVAE, parts: list[Tensor]) -> Tensor:
    memory, out = None, list[Tensor]()
    for part in parts:
        latents, memory = model.encode(part, memory)
        out.append(latents)
    return torch.cat(out, 2)


def error(ours: Tensor, expected: Tensor) -> float:
    """Deviation over size, both root mean square."""
    return float((ours.double() - expected.double()).square().mean().sqrt() / expected.double().square().mean().sqrt())


def test_parameter_names_and_shapes_are_those_of_the_published_checkpoint() -> None:
    """Wan2.1_VAE.pth fits this class to the key and the shape, and its halves share it out between them."""
    if not REFERENCE.exists():
        pytest.skip("the reference manifests are not beside this checkout: names are NOT compared")
    manifest = json.loads((REFERENCE / "manifests/Wan2.1_VAE.pth.json").read_text())["tensors"]
    with torch.device("meta"):
        whole, half, rest = WanVAE(), WanVAE(decoder=False), WanVAE(encoder=False)
    ours = {key: list(value.shape) for key, value in whole.state_dict().items()}
    assert ours == {key: value["shape"] for key, value in manifest.items()}
    assert not half.state_dict().keys() & rest.state_dict().keys()
    assert half.state_dict().keys() | rest.state_dict().keys() == manifest.keys()


def test_it_computes_what_the_reference_computes() -> None:
    """Every stored value is met, no stored value is left out, and the demo differs as it is documented to."""
    if not REFERENCE.exists():
        pytest.skip("the reference's cases are not beside this checkout: values are NOT compared")
    for path in sorted((REFERENCE / "parity").glob("vae_*")):
        if ".weights." in path.name:
            continue
        results = list(vae.run(path))
        assert results
        assert [r for r in results if r.passed is r.documented] == []
        if path.suffix == ".json":
            continue
        inputs = {"z", "z1", "zz", "batch2.z", "image", "video9", "batch2.video5.second"}
        assert case(path).tensors.keys() - inputs <= {r.name.partition("/")[2] for r in results}


@pytest.mark.parametrize("cuts", [(1, 2, 3), (1,), (2, 3), (3,)])
def test_a_stream_decodes_bit_for_bit_as_one_call(cuts: tuple[int, ...]) -> None:
    """However latents are grouped into calls the frames are the same: 1, then 4 for each."""
    model, latents = network(), noise(2, 16, 4, 2, 3)
    whole = decoded(model, [latents])
    assert whole.shape == (2, 3, 13, 16, 24)
    assert torch.equal(decoded(model, pieces(latents, *cuts)), whole)


@pytest.mark.parametrize("cuts", [(1, 5), (1, 2, 3, 4, 5, 6, 7, 8), (3, 7), (9,), (4, 6)])
def test_a_stream_encodes_bit_for_bit_as_one_call(cuts: tuple[int, ...]) -> None:
    """However frames are grouped into calls the latents are the same, and what fills no group is not encoded."""
    model, frames = network(), video(11, batch=2)
    whole = encoded(model, [frames])
    assert whole.shape == (2, 16, 3, 2, 3)
    assert torch.equal(encoded(model, pieces(frames, *cuts)), whole)
    assert torch.equal(encoded(model, [frames[:, :, :9]]), whole)


@pytest.mark.parametrize(
    ("in_time", "frames", "latents"), [((True, True, False), 9, 3), ((True, False, False), 7, 4), ((True,), 5, 3)]
)
def test_frames_group_as_the_sizes_say(in_time: tuple[bool, ...], frames: int, latents: int) -> None:
    """Where time is halved in other places or fewer, both ways still stream bit for bit and invert their shapes."""
    torch.manual_seed(0)
    config = WanVAEConfig(dim=4, dim_mult=(1, 2, 2, 4)[: len(in_time) + 1], temporal_downsample=in_time)
    model, given = WanVAE(config).eval().requires_grad_(False), video(frames)
    z = encoded(model, pieces(given, 2, 3))
    edge = config.spatial_factor
    assert z.shape == (1, 16, latents, 16 // edge, 24 // edge)
    assert torch.equal(z, encoded(model, [given]))
    out = decoded(model, [z])
    assert out.shape == given.shape
    assert torch.equal(decoded(model, pieces(z, 1, 2)), out)


def test_what_is_to_come_changes_nothing_that_was() -> None:
    """Earlier frames do not depend on later latents, later ones do depend on earlier."""
    model, latents = network(), noise(1, 16, 3, 2, 3)
    other = latents.clone()
    other[:, :, 2] += 1
    one, two = model.decode(latents)[0], model.decode(other)[0]
    assert torch.equal(one[:, :, :5], two[:, :, :5])
    assert not torch.equal(one[:, :, 5:], two[:, :, 5:])
    assert not torch.allclose(model.decode(latents[:, :, 1:])[0][:, :, 1:], one[:, :, 5:], atol=1e-3)


def test_a_memory_stays_as_it_was_and_the_network_holds_none() -> None:
    """Going on twice from one memory, with other streams between, gives the same twice."""
    model, latents, frames = network(), noise(1, 16, 4, 2, 3), video(9)
    _, memory = model.decode(latents[:, :, :2])
    _, seen = model.encode(frames[:, :, :3])
    copies = [copy.deepcopy(kept) for kept in (memory, seen)]
    first, later = model.decode(latents[:, :, 2:], memory)[0], model.encode(frames[:, :, 3:], seen)[0]
    model.decode(latents + 1)
    model.encode(frames * 0.5)
    assert torch.equal(model.decode(latents[:, :, 2:], memory)[0], first)
    assert torch.equal(model.encode(frames[:, :, 3:], seen)[0], later)
    for kept, before in zip((memory, seen), copies, strict=True):
        for slot, was in zip((*kept.slots, kept.pending), (*before.slots, before.pending), strict=True):
            assert (slot is None and was is None) or (slot is not None and was is not None and torch.equal(slot, was))


def test_the_memory_keeps_no_more_than_it_needs() -> None:
    """A slot holds two frames at most and is no view of something larger; shapes are settled after two latents."""
    model, latents = network(), noise(1, 16, 4, 2, 3)
    memories = list[VAEMemory]()
    for latent in latents.split(1, dim=2):
        memories.append(model.decode(latent, memories[-1] if memories else None)[1])
    assert [slot is None for slot in memories[0].slots].count(True) == 2
    shapes = [[None if slot is None else slot.shape for slot in memory.slots] for memory in memories]
    assert shapes[1] == shapes[2] == shapes[3]
    for slot in memories[3].slots:
        assert slot is not None
        assert slot.shape[2] == 2
        assert slot.untyped_storage().nbytes() == slot.numel() * slot.element_size()


def test_a_tiled_picture_is_the_untiled_one() -> None:
    """Tiles differ from the whole by rounding alone (measured 6e-7 of rms), wherever the cuts fall."""
    model, image = network(), noise(1, 3, 1, 128, 184).clamp(-1, 1)
    whole = model.encode_image(image)
    assert torch.equal(whole, model.encode(image)[0])
    for tile in (32, 120):
        tiled = model.encode_image(image, tile)
        assert tiled.shape == whole.shape
        assert (tiled - whole).abs().max() <= 1e-5 * whole.square().mean().sqrt()


@pytest.mark.parametrize("tile", [0, -8, 12])
def test_a_tile_that_cuts_a_latent_is_refused(tile: int) -> None:
    """A tile's edge is a positive multiple of a latent's."""
    with pytest.raises(ConfigError, match="multiple of 8"):
        network().encode_image(torch.zeros(1, 3, 1, 16, 16), tile)


# Measured on these weights: 0.0028 and 0.025.
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float16, 0.01), (torch.bfloat16, 0.08)])
def test_two_byte_floats_come_near(dtype: torch.dtype, bar: float) -> None:
    """In half precision both ways give the float32 result to that precision."""
    model, latents, frames = network(), noise(1, 16, 3, 2, 3), video(5)
    narrow = copy.deepcopy(model).to(dtype)
    out, memory = narrow.decode(latents)
    assert out.dtype == dtype
    assert {slot.dtype for slot in memory.slots if slot is not None} == {dtype}
    assert error(out, model.decode(latents)[0]) < bar
    assert error(narrow.encode(frames)[0], model.encode(frames)[0]) < bar


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_norm_survives_nothing_and_much(dtype: torch.dtype) -> None:
    """Channels that are all zero stay zero; large ones come out as a unit of root mean square."""
    norm = ChannelNorm(384).to(dtype)
    assert torch.equal(norm(torch.zeros(1, 384, 1, 2, 2, dtype=dtype)), torch.zeros(1, 384, 1, 2, 2, dtype=dtype))
    large = torch.full((1, 384, 1, 2, 2), 30_000.0, dtype=dtype)
    torch.testing.assert_close(norm(large), torch.ones_like(large), atol=1e-2, rtol=0)


def test_latents_are_of_unit_scale() -> None:
    """Normalising takes the published mean and deviation off, and is undone by its inverse."""
    model, config = network(), WanVAEConfig()
    mean, std = (torch.tensor(v).view(1, 16, 1, 1, 1) for v in (config.latent_mean, config.latent_std))
    latents = noise(1, 16, 2, 2, 3)
    torch.testing.assert_close(model.normalise(mean + 2 * std), torch.full_like(mean, 2))
    torch.testing.assert_close(model.normalise(model.denormalise(latents)), latents)
    frames = video(5)
    assert torch.equal(model.normalise(model.encode_mu(frames)[0]), model.encode(frames)[0])


def test_frames_are_clamped_to_the_unit_range() -> None:
    """Live frames are float32 in 0..1, what lies beyond -1..1 cut off."""
    model = network()
    for parameter in model.decoder.head.parameters():
        parameter.mul_(3)
    decoder: FrameDecoder = model
    raw, _ = model.decode(noise(1, 16, 2, 2, 3))
    frames, memory = decoder.decode_frames(noise(1, 16, 2, 2, 3), None)
    assert raw.min() < -1
    assert raw.max() > 1
    assert frames.dtype == torch.float32
    torch.testing.assert_close(frames, (raw.clamp(-1, 1) + 1) / 2)
    assert torch.equal(decoder.decode_frames(noise(1, 16, 1, 2, 3), memory)[0].aminmax()[0], torch.tensor(0.0))
