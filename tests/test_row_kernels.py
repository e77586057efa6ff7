import pytest
import torch
from torch import Tensor

from pipeline.networks.row_kernels import norm_silu, unblock_rows
from pipeline.networks.upsampling import unblock
from pipeline.networks.vae_wan_layers import ChannelNorm


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("has_shortcut", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_sum_norm_and_silu_are_those_of_the_network(has_bias: bool, has_shortcut: bool) -> None:
    """The sum stays in place of the input, its norm and SiLU go where they are wanted, and nothing else changes."""
    x, gain = noise(2, 3, 4, 6), noise(6, seed=1)
    bias, shortcut = noise(6, seed=2) if has_bias else None, noise(2, 3, 4, 6, seed=3) if has_shortcut else None
    total = x + (0 if bias is None else bias) + (0 if shortcut is None else shortcut)
    norm = ChannelNorm(6)
    norm.gamma.data = gain.view(6, 1, 1, 1)
    expected = torch.nn.functional.silu(norm(total.permute(3, 0, 1, 2)[None]))[0].permute(1, 2, 3, 0)
    around = torch.full((4, 3, 4, 6), 7.0)
    assert norm_silu(x, bias, shortcut, gain, around[2:]) is x
    torch.testing.assert_close(x, total)
    torch.testing.assert_close(around[2:], expected)
    assert torch.equal(around[:2], torch.full((2, 3, 4, 6), 7.0))


def test_pixels_get_their_bias() -> None:
    """Blocks become pixels, channel by channel with its bias."""
    blocks, bias = noise(2, 3, 4, 20), noise(5, seed=1)
    expected = unblock(blocks.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + bias
    assert torch.equal(unblock_rows(blocks, bias), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [5, 96, 192, 384])
def test_the_kernels_do_the_same(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU each is one kernel, equal to the steps within half precision, and writes all that it should."""
    x, shortcut = noise(2, 7, 9, channels).cuda().half(), noise(2, 7, 9, channels, seed=1).cuda().half()
    bias, gain = noise(channels, seed=2).cuda().half(), noise(channels, seed=3).cuda().half()
    blocks = noise(2, 5, 4, 4 * channels).cuda().half()
    results: list[tuple[Tensor, Tensor, Tensor]] = []
    for switch in ("1", ""):
        monkeypatch.setenv("NO_TORCH_COMPILE", switch)
        out = torch.full_like(x, float("nan"))
        total = norm_silu(x.clone(), bias, shortcut, gain, out)
        results.append((total, out, unblock_rows(blocks, bias)))
    for stepwise, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, stepwise, rtol=4e-3, atol=4e-3)
