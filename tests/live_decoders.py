"""What the tests of the live decoders share: toy networks, latents, and the rule for one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.networks.frame_decoder import VAEMemory
from pipeline.networks.vae_tiny import TinyVAE, TinyVAEConfig
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_config import WanVAEConfig

CPU = torch.device("cpu")
TINY = TinyVAEConfig(encoder_width=8, decoder_widths=(32, 16, 8, 8))
WAN = WanVAEConfig(dim=8, num_res_blocks=1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny(config: TinyVAEConfig = TINY) -> TinyVAE:
    torch.manual_seed(0)
    return TinyVAE(config).eval().requires_grad_(False)


def wan(config: WanVAEConfig = WAN) -> WanVAE:
    """A network whose gains and biases are not what they begin as, so that leaving one out shows."""
    torch.manual_seed(0)
    network = WanVAE(config, encoder=False).eval().requires_grad_(False)
    for name, value in network.named_parameters():
        if name.endswith("gamma"):
            value.copy_(1 + 0.3 * torch.randn_like(value))
    return network


def error(ours: Tensor, expected: Tensor) -> float:
    """Largest deviation over root mean square; another shape is infinitely far."""
    if ours.shape != expected.shape:
        return float("inf")
    return float((ours.double() - expected.double()).abs().max() / expected.double().square().mean().sqrt())


def slot_error(slots: Sequence[Tensor], memory: VAEMemory) -> float:
    """The largest :func:`error` of any slot."""
    pairs = zip(slots, memory.slots, strict=True)
    return max(float("inf") if seen is None else error(slot, seen) for slot, seen in pairs)


def pixels(video: Tensor) -> Tensor:
    """``[1, 3, F, H, W]`` to ``[F, H, W, 3]``."""
    return video[0].permute(1, 2, 3, 0)
