import pytest
import torch
from torch import Tensor

from pipeline.networks.frame_decoder import VAEMemory
from pipeline.networks.vae_wan_config import WanVAEConfig
from pipeline.networks.vae_wan_live import WanLive
from tests.live_decoders import CPU, WAN, error, noise, pixels, slot_error, wan

pytestmark = pytest.mark.usefixtures("one_thread")

# Of rms, in float64, frames in float32: measured 8e-14 and 0.
ROUNDING, SHOWN_ROUNDING = 1e-12, 1e-6


def filled(slots: list[Tensor], memory: VAEMemory) -> list[Tensor]:
    """Give the slots the memory after a first latent: one frame, or none."""
    for slot, seen in zip(slots, memory.slots, strict=True):
        if seen is not None:
            slot[:, :, -seen.shape[2] :] = seen
    return slots


@pytest.mark.parametrize(
    "config", [WAN, WanVAEConfig(dim=4, dim_mult=(1, 2, 4, 4), temporal_downsample=(True, False, True))]
)
def test_it_computes_what_the_network_computes(config: WanVAEConfig) -> None:
    """From the second latent on, however many a call brings, frames and memory agree to rounding, of float64."""
    network, latents = wan(config).double(), noise(1, 16, 7, 3, 2)
    first, *parts = latents.split([1, 2, 3, 1], dim=2)
    _, memory = network.decode(first)
    live = WanLive(network)
    slots = filled(live.beginning(3, 2, CPU), memory)
    for part in parts:
        expected, memory = network.decode_frames(part, memory)
        assert error(live(part, slots), pixels(expected)) < SHOWN_ROUNDING
        assert slot_error(slots, memory) < ROUNDING


def test_slots_lie_as_they_are_read() -> None:
    """Memory is channels last, of the network's dtype, and of the shapes that the network's own has."""
    network = wan()
    _, memory = network.decode(noise(1, 16, 2, 3, 2))
    slots = WanLive(network.half()).beginning(3, 2, CPU)
    assert [slot.shape for slot in slots] == [slot.shape for slot in memory.slots if slot is not None]
    assert all(slot.is_contiguous(memory_format=torch.channels_last_3d) for slot in slots)
    assert {slot.dtype for slot in slots} == {torch.float16}


def test_it_is_traced_whole() -> None:
    """The compiler sees one graph, without a break, that gives the same bytes."""
    live, latents = WanLive(wan()), noise(1, 16, 2, 3, 2)
    traced = torch.compile(lambda z, *slots: live(z, slots), backend="eager", fullgraph=True)
    one, two = live.beginning(3, 2, CPU), live.beginning(3, 2, CPU)
    assert torch.equal(traced(latents, *one), live(latents, two))
    assert all(map(torch.equal, one, two))


@pytest.mark.gpu
def test_half_precision_on_a_gpu_comes_near() -> None:
    """Frames and memory are float32's to half precision."""
    network, latents = wan(WanVAEConfig(num_res_blocks=1)), noise(1, 16, 3, 6, 4)
    _, memory = network.decode(latents[:, :, :1])
    expected, seen = network.decode_frames(latents[:, :, 1:], memory)
    live = WanLive(network.cuda().half())
    slots = filled(live.beginning(6, 4, torch.device("cuda")), memory)
    assert error(live(latents[:, :, 1:].cuda(), slots).cpu(), pixels(expected)) < 0.05
    assert slot_error([slot.cpu() for slot in slots], seen) < 0.1
