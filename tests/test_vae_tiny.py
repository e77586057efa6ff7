import copy
import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.networks.frame_decoder import FrameDecoder, VAEMemory
from pipeline.networks.vae_tiny import TinyVAE, TinyVAEConfig, config_of, fit_state_dict
from pipeline.parity import taehv
from pipeline.parity.result import case

pytestmark = pytest.mark.usefixtures("one_thread")

REFERENCE = Path(__file__).parents[2] / "shared/reference"
CONFIG = TinyVAEConfig(encoder_width=8, decoder_widths=(32, 16, 8, 8))
# Of rms: measured 1e-6 here and 6e-6 at full size.
ROUNDING = 2e-5


def network(config: TinyVAEConfig = CONFIG) -> TinyVAE:
    torch.manual_seed(0)
    return TinyVAE(config).eval().requires_grad_(False)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def pieces(whole: Tensor, *cuts: int) -> list[Tensor]:
    return [whole[:, :, start:end] for start, end in pairwise((0, *cuts, whole.shape[2]))]


def decoded(model: TinyVAE, parts: list[Tensor]) -> Tensor:
    memory, out = None, list[Tensor]()
    for part in parts:
        frames, memory = model.decode(part, memory)
        out.append(frames)
    return torch.cat(out, 2)


def encoded(model: TinyVAE, parts: list[Tensor]) -> tuple[Tensor, VAEMemory]:
    memory, out = VAEMemory(), list[Tensor]()
    for part in parts:
        latents, memory = model.encode(part, memory)
        out.append(latents)
    return torch.cat(out, 2), memory


def error(ours: Tensor, expected: Tensor) -> float:
    """Largest deviation over root mean square; another shape is infinitely far."""
    if ours.shape != expected.shape:
        return float("inf")
    return float((ours.double() - expected.double()).abs().max() / expected.double().square().mean().sqrt())


def test_parameter_names_and_shapes_are_those_of_the_published_checkpoint() -> None:
    """taew2_1 fits this class to the key and the shape, and its sizes are read off its shapes."""
    if not REFERENCE.exists():
        pytest.skip("the reference manifests are not beside this checkout: names are NOT compared")
    manifest = json.loads((REFERENCE / "manifests/taew2_1.safetensors.json").read_text())["tensors"]
    with torch.device("meta"):
        ours = TinyVAE().state_dict()
        published = {key: torch.empty(value["shape"]) for key, value in manifest.items()}
    assert {key: value.shape for key, value in ours.items()} == {key: v.shape for key, v in published.items()}
    assert config_of(published) == TinyVAEConfig()


def test_it_computes_what_the_reference_computes() -> None:
    """Every stored value is met, no stored value is left out, and the demo differs as it is documented to."""
    if not REFERENCE.exists():
        pytest.skip("the reference's cases are not beside this checkout: values are NOT compared")
    for path in sorted((REFERENCE / "parity").glob("taehv*")):
        if ".weights." in path.name:
            continue
        results = list(taehv.run(path))
        assert [r for r in results if r.passed is r.documented] == []
        assert case(path).tensors.keys() - {"x", "z"} <= {r.name.partition("/")[2] for r in results}


@pytest.mark.parametrize("cuts", [(1, 2, 3), (1,), (2, 3), (3,)])
def test_a_stream_decodes_as_one_call(cuts: tuple[int, ...]) -> None:
    """However latents are grouped into calls the frames agree to rounding: 1, then 4 for each."""
    model, latents = network(), noise(2, 16, 4, 2, 3)
    whole = decoded(model, [latents])
    assert whole.shape == (2, 3, 13, 16, 24)
    assert error(decoded(model, pieces(latents, *cuts)), whole) < ROUNDING
    assert torch.equal(decoded(model, pieces(latents, *cuts)), decoded(model, pieces(latents, *cuts)))


@pytest.mark.parametrize("cuts", [(4,), (1, 2, 3, 4, 5, 6, 7, 8, 9), (3, 7), (9,), (5, 6)])
def test_a_stream_encodes_as_one_call(cuts: tuple[int, ...]) -> None:
    """However frames are grouped into calls the latents agree to rounding, the flushed one too."""
    model, video = network(), noise(2, 3, 10, 16, 24)
    (whole, waiting), (streamed, left) = encoded(model, [video]), encoded(model, pieces(video, *cuts))
    assert whole.shape == (2, 16, 2, 2, 3)
    assert error(streamed, whole) < ROUNDING
    last, same = model.flush(waiting), model.flush(left)
    assert last is not None
    assert same is not None
    assert error(same, last) < ROUNDING


def test_the_end_is_filled_with_the_last_frame() -> None:
    """Flushing equals encoding the video with its last frame repeated; a video of whole groups leaves nothing."""
    model, video = network(), noise(1, 3, 6, 16, 24)
    padded = torch.cat([video, video[:, :, -1:], video[:, :, -1:]], 2)
    (first, memory), (whole, empty) = encoded(model, [video]), encoded(model, [padded])
    last = model.flush(memory)
    assert last is not None
    assert error(torch.cat([first, last], 2), whole) < ROUNDING
    assert model.flush(empty) is None


def test_a_memory_stays_as_it_was_and_the_network_holds_none() -> None:
    """Going on twice from one memory, with another stream between, gives the same twice."""
    model, latents = network(), noise(1, 16, 4, 2, 3)
    _, memory = model.decode(latents[:, :, :2])
    before = copy.deepcopy(memory)
    first = model.decode(latents[:, :, 2:], memory)[0]
    model.decode(latents + 1)
    assert torch.equal(model.decode(latents[:, :, 2:], memory)[0], first)
    for slot, was in zip(memory.slots, before.slots, strict=True):
        assert slot is not None
        assert was is not None
        assert torch.equal(slot, was)
        assert slot.untyped_storage().nbytes() == slot.numel() * slot.element_size()


def test_the_past_reaches_later_frames_and_the_future_no_earlier_ones() -> None:
    """A latent changes its own frames and those after it, none before."""
    model, latents = network(), noise(1, 16, 3, 2, 3)
    other = latents.clone()
    other[:, :, 1] += 1
    one, two = model.decode(latents)[0], model.decode(other)[0]
    assert torch.equal(one[:, :, :1], two[:, :, :1])
    for latent in (slice(1, 5), slice(5, 9)):
        assert (one[:, :, latent] - two[:, :, latent]).abs().max() > 1e-4


def test_kernels_that_are_too_tall_keep_their_last_rows() -> None:
    """A checkpoint that multiplies frames more often loads, cut to the rows of the latest frames."""
    model = network()
    stored = model.state_dict()
    for place, rows in ((7, 32), (13, 64)):
        key = f"decoder.{place}.conv.weight"
        stored[key] = torch.cat([noise(rows, stored[key].shape[1], 1, 1), stored[key]])
    fitted = fit_state_dict(stored, config_of(stored))
    assert {key for key in stored if stored[key].shape != fitted[key].shape} == {
        "decoder.7.conv.weight",
        "decoder.13.conv.weight",
    }
    assert all(torch.equal(fitted[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [
        TinyVAEConfig(encoder_width=4, decoder_widths=(12, 6, 4, 2), latent_channels=5),
        TinyVAEConfig(encoder_width=4, decoder_widths=(8, 8, 4, 4), time_pools=(2, 1, 1), time_grows=(1, 1, 2)),
    ],
)
def test_sizes_are_read_off_a_state_dict(config: TinyVAEConfig) -> None:
    """A network built from what its state dict tells is the same network, and its time factors are kept."""
    model = network(config)
    assert config_of(model.state_dict(), config.time_grows) == config
    latents = noise(1, config.latent_channels, 2, 2, 2)
    assert model.decode_untrimmed(latents)[0].shape[2] == 2 * config.frames_per_latent
    assert model.decode(latents)[0].shape[2] == config.frames_per_latent + 1
    assert model.encode(noise(1, 3, 8, 16, 16))[0].shape[2] == 8 // config.frames_per_group


# Measured on these weights: 0.002 and 0.018.
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float16, 0.01), (torch.bfloat16, 0.06)])
def test_two_byte_floats_come_near(dtype: torch.dtype, bar: float) -> None:
    """In half precision both ways give the float32 result to that precision."""
    model, latents, video = network(), noise(1, 16, 3, 2, 3), noise(1, 3, 8, 16, 24)
    narrow = copy.deepcopy(model).to(dtype)
    out, memory = narrow.decode(latents)
    assert out.dtype == dtype
    assert {slot.dtype for slot in memory.slots if slot is not None} == {dtype}
    assert error(out, model.decode(latents)[0]) < bar
    assert error(narrow.encode(video)[0], model.encode(video)[0]) < bar


def test_frames_are_clamped_to_the_unit_range() -> None:
    """Live frames are float32 in 0..1, what lies beyond cut off."""
    model = network()
    for parameter in model.decoder[-1].parameters():
        parameter.mul_(300)
    decoder: FrameDecoder = model
    raw, _ = model.decode(noise(1, 16, 2, 2, 3))
    frames, _ = decoder.decode_frames(noise(1, 16, 2, 2, 3), None)
    assert raw.aminmax()[0] < 0
    assert raw.aminmax()[1] > 1
    assert frames.dtype == torch.float32
    assert torch.equal(frames, raw.clamp(0, 1))
