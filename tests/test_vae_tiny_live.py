import pytest
import torch

from pipeline.networks.vae_tiny import TinyVAEConfig
from pipeline.networks.vae_tiny_live import TinyLive
from tests.live_decoders import CPU, TINY, error, noise, pixels, slot_error, tiny

pytestmark = pytest.mark.usefixtures("one_thread")

# Of rms: measured 1e-6.
ROUNDING = 1e-5


@pytest.mark.parametrize(
    "config", [TINY, TinyVAEConfig(encoder_width=4, decoder_widths=(8, 8, 4, 4), time_grows=(1, 1, 2))]
)
def test_it_computes_what_the_network_computes(config: TinyVAEConfig) -> None:
    """Zeros are a stream's beginning; frames and memory agree to rounding from call to call."""
    network, latents = tiny(config), noise(1, 16, 6, 5, 3)
    live, memory = TinyLive(network, fuses=False), None
    slots = live.beginning(5, 3, CPU)
    for part in latents.split([3, 2, 1], dim=2):
        expected, memory = network.decode_untrimmed(part, memory)
        assert error(live(part, slots), pixels(expected)) < ROUNDING
        assert slot_error(slots, memory) < ROUNDING


def test_the_difference_is_rounding() -> None:
    """In float64 nothing is left of it."""
    network, latents = tiny().double(), noise(1, 16, 3, 2, 3).double()
    live = TinyLive(network, fuses=False)
    expected, _ = network.decode_untrimmed(latents)
    assert error(live(latents, live.beginning(2, 3, CPU)), pixels(expected)) < 1e-13


def test_slots_lie_as_they_are_read() -> None:
    """Memory is channels last, of the network's dtype, and of the shapes that the network's own has."""
    network = tiny()
    slots = TinyLive(network.half(), fuses=False).beginning(2, 3, CPU)
    _, memory = network.float().decode(noise(1, 16, 1, 2, 3))
    assert [slot.shape for slot in slots] == [slot.shape for slot in memory.slots if slot is not None]
    assert all(slot.is_contiguous(memory_format=torch.channels_last) for slot in slots)
    assert {slot.dtype for slot in slots} == {torch.float16}


def test_it_is_traced_whole() -> None:
    """The compiler sees one graph, without a break, that gives the same bytes."""
    network, latents = tiny(), noise(1, 16, 3, 2, 3)
    live = TinyLive(network, fuses=False)
    traced = torch.compile(lambda z, *slots: live(z, slots), backend="eager", fullgraph=True)
    one, two = live.beginning(2, 3, CPU), live.beginning(2, 3, CPU)
    assert torch.equal(traced(latents, *one), live(latents, two))
    assert all(map(torch.equal, one, two))


@pytest.mark.gpu
@pytest.mark.parametrize("fuses", [False, True])
def test_half_precision_on_a_gpu_comes_near(fuses: bool) -> None:
    """With cuDNN's fused convolutions or without, frames and memory are float32's to half precision."""
    network, latents = tiny(TinyVAEConfig()), noise(1, 16, 3, 8, 8)
    expected, memory = network.decode_untrimmed(latents)
    live = TinyLive(network.cuda().half(), fuses=fuses)
    slots = live.beginning(8, 8, torch.device("cuda"))
    assert error(live(latents.cuda(), slots).cpu(), pixels(expected)) < 0.02
    assert slot_error([slot.cpu() for slot in slots], memory) < 0.02
