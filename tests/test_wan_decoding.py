import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.networks.frame_decoder import FrameDecoder, VAEMemory
from pipeline.networks.vae_tiny import TinyVAE
from pipeline.networks.vae_tiny_live import TinyLive
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_live import WanLive
from pipeline.wan.decoding import LiveDecoder, LiveNetwork, load_memory, prepared
from pipeline.wan.frames import to_host
from tests.live_decoders import CPU, noise, tiny, wan

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (3, 2)


@pytest.fixture(params=["tiny", "wan"])
def network(request: pytest.FixtureRequest) -> TinyVAE | WanVAE:
    return tiny() if request.param == "tiny" else wan()


def live_form(network: TinyVAE | WanVAE) -> LiveNetwork:
    return TinyLive(network, fuses=False) if isinstance(network, TinyVAE) else WanLive(network)


def plain(network: FrameDecoder, parts: list[Tensor]) -> list[np.ndarray]:
    memory, shown = None, list[np.ndarray]()
    for part in parts:
        video, memory = network.decode_frames(part, memory)
        shown.append(to_host(video))
    return shown


def streamed(decoder: LiveDecoder, parts: list[Tensor]) -> list[np.ndarray]:
    memory, shown = None, list[np.ndarray]()
    for part in parts:
        frames, memory = decoder.decode(part, memory)
        shown.append(decoder.to_host(frames))
    return shown


def test_on_a_cpu_it_is_the_plain_decoder(network: TinyVAE | WanVAE) -> None:
    """Nothing is prepared there, and the bytes are those of today."""
    assert prepared(network, CPU) is None
    parts = list(noise(1, 16, 6, *SIZE).split(2, dim=2))
    ours = streamed(LiveDecoder(network, None, 2), parts)
    for frames, expected in zip(ours, plain(network, parts), strict=True):
        assert np.array_equal(frames, expected)


@pytest.mark.parametrize("counts", [(2, 2, 2), (1, 2, 3), (1, 1, 4)])
def test_a_prepared_network_shows_the_same(network: TinyVAE | WanVAE, counts: tuple[int, ...]) -> None:
    """From a stream's first latent on the frames are counted alike, and differ by a grey level at most."""
    parts = list(noise(1, 16, 6, *SIZE).split(list(counts), dim=2))
    ours = streamed(LiveDecoder(network, live_form(network), 2), parts)
    for frames, expected in zip(ours, plain(network, parts), strict=True):
        assert frames.shape == expected.shape
        difference = np.abs(frames.astype(int) - expected)
        assert difference.max() <= 1
        assert difference.mean() < 0.01


def test_memory_goes_between_the_forms(network: TinyVAE | WanVAE) -> None:
    """What the plain decoder remembers the prepared one goes on from, and the other way round."""
    first, second, third = noise(1, 16, 6, *SIZE).split(2, dim=2)
    live = LiveDecoder(network, live_form(network), 2)
    _, memory = network.decode_frames(first, None)
    frames, seen = live.decode(second, memory)
    video, after = network.decode_frames(second, memory)
    assert np.abs(live.to_host(frames).astype(int) - to_host(video)).max() <= 1
    one, two = to_host(network.decode_frames(third, seen)[0]), to_host(network.decode_frames(third, after)[0])
    assert np.abs(one.astype(int) - two).max() <= 1


def copies(memory: VAEMemory) -> list[Tensor | None]:
    return [copy.deepcopy(slot) for slot in memory.slots]


def unchanged(memory: VAEMemory, before: list[Tensor | None]) -> bool:
    pairs = zip(memory.slots, before, strict=True)
    return all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


def goes_on_twice(decoder: LiveDecoder, latents: Tensor) -> None:
    """Check that going on twice from one memory, another stream between, gives the same twice."""
    first, second, other = latents.split(2, dim=2)
    shown, memory = decoder.decode(first, None)
    before, held = copies(memory), shown.clone()
    once, _ = decoder.decode(second, memory)
    kept = once.clone()
    decoder.decode(other, decoder.decode(other, None)[1])
    again, _ = decoder.decode(second, memory)
    assert torch.equal(again, kept)
    assert torch.equal(once, kept)
    assert torch.equal(shown, held)
    assert unchanged(memory, before)


def test_what_stood_in_a_slot_before_is_gone(network: TinyVAE | WanVAE) -> None:
    """A memory goes into slots that another stream used as into new ones: no frame, one or two of them."""
    live = live_form(network)
    _, short = network.decode_frames(noise(1, 16, 1, *SIZE), None)
    _, full = network.decode_frames(noise(1, 16, 1, *SIZE, seed=1), short)
    for memory in (VAEMemory(), short, full):
        used, new = live.beginning(*SIZE, CPU), live.beginning(*SIZE, CPU)
        for slot in used:
            slot.fill_(7.0)
        for slots in (used, new):
            load_memory(slots, memory)
        assert all(map(torch.equal, used, new))


def test_memory_and_frames_stay_as_they_were(network: TinyVAE | WanVAE) -> None:
    """Later calls, of another stream too, leave what was given alone."""
    goes_on_twice(LiveDecoder(network, live_form(network), 2), noise(1, 16, 6, *SIZE))


@pytest.mark.gpu
def test_a_recorded_chunk_is_the_chunk(network: TinyVAE | WanVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the graph gives what the same steps give one by one, and its memory and frames are values too."""
    device = torch.device("cuda")
    latents = noise(1, 16, 6, *SIZE).cuda()
    network = network.cuda().half()
    live = LiveDecoder(network, prepared(network, device), 2)
    goes_on_twice(live, latents)
    recorded = streamed(live, list(latents.split(2, dim=2)))
    monkeypatch.setenv("NO_CUDA_GRAPH", "1")
    eager = streamed(LiveDecoder(network, prepared(network, device), 2), list(latents.split(2, dim=2)))
    for one, two in zip(recorded, eager, strict=True):
        # The recording's convolutions were chosen by measurement, the others' not: they may round apart.
        assert np.abs(one.astype(int) - two).max() <= 2
