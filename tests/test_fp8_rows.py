import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.fp8_rows import gelu_rows_in_fp8
from pipeline.networks.packed import can_multiply_fp8, feed_forward, multiply, pack
from pipeline.quantize import FP8, FP8_MAX, StoredLinear, rows_in_fp8


def rows(width: int, count: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(width)
    x = torch.randn(count, width, generator=generator) * torch.tensor([0.001, 0.1, 1.0, 30.0, 0.0])[:, None]
    return x, torch.randn(width, generator=generator) * torch.tensor(0.01)


def judge(bits: Tensor, scale: Tensor, expected: Tensor) -> None:
    """Every number within half a step of ``float8_e4m3fn``, the row's largest at the end of the range."""
    assert bits.dtype == FP8
    assert scale.shape == (len(expected), 1)
    got = bits.float() * scale
    # Three bits of mantissa: half a step is 1/16 of the number, or of the smallest normal one.
    step = torch.maximum(expected.abs() / 16, scale * 2.0**-10)
    assert ((got - expected).abs() <= step * 1.02).all()
    assert (bits.float().abs().amax(1) == FP8_MAX).all()


@pytest.mark.parametrize("width", [96, 130, 1024])
def test_rows_are_rounded_by_their_own_scale(width: int) -> None:
    """A row of thousandths keeps as many digits as one of thirties; the bias and GELU come before."""
    x, bias = rows(width)
    bits, scale = gelu_rows_in_fp8(x, bias)
    judge(bits, scale, F.gelu(x + bias, approximate="tanh"))


def test_nothing_at_all_stays_nothing() -> None:
    """A row of zeros has no largest number to be divided by, and gives zeros."""
    bits, scale = gelu_rows_in_fp8(torch.zeros(2, 64), torch.zeros(64))
    assert (bits.float() * scale == 0).all()


@pytest.mark.gpu
@pytest.mark.parametrize("width", [96, 130, 1024, 8960, 13824])
def test_the_kernel_does_what_the_steps_do(width: int) -> None:
    """On a GPU one kernel, for any width: the same to half a step, zeros too."""
    x, bias = (part.cuda().bfloat16() for part in rows(width))
    bits, scale = gelu_rows_in_fp8(x, bias)
    judge(bits, scale, F.gelu(x.float() + bias.float(), approximate="tanh"))
    bits, scale = gelu_rows_in_fp8(torch.zeros_like(x), torch.zeros_like(bias))
    assert (bits.float() * scale == 0).all()


def test_a_feed_forward_in_eight_bits_comes_near_the_same_weights_in_full() -> None:
    """Only the rows on their way are rounded beside the weights: a few percent."""
    layers = [torch.nn.Linear(64, 128), torch.nn.Linear(128, 64)]
    stored = [StoredLinear(layer.requires_grad_(False)) for layer in layers]
    x = torch.randn(2, 7, 64, generator=torch.Generator().manual_seed(1))
    expected = stored[1](F.gelu(stored[0](x), approximate="tanh"))
    got = feed_forward(x, pack(stored[0]), pack(stored[1]))
    assert got.shape == expected.shape
    assert 1e-4 < (got - expected).norm() / expected.norm() < 0.06


def test_layers_side_by_side_give_what_each_gives() -> None:
    """One multiplication for several layers of one input, plain and in eight bits."""
    layers = [torch.nn.Linear(32, 16).requires_grad_(False) for _ in range(3)]
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
    whole = multiply(x, pack(*layers))
    assert torch.allclose(whole, torch.cat([layer(x) for layer in layers], -1), atol=1e-6)
    stored = [StoredLinear(layer) for layer in layers]
    bits, scale = rows_in_fp8(x.flatten(0, 1))
    rounded = (bits.float() * scale).unflatten(0, (2, 5))
    expected = torch.cat([layer(rounded) for layer in stored], -1)
    assert torch.allclose(multiply(x, pack(*stored)), expected, atol=1e-5)


def test_what_is_no_linear_layer_is_refused() -> None:
    """A convolution has no rows."""
    with pytest.raises(TypeError, match="Conv2d is no linear layer"):
        pack(torch.nn.Conv2d(1, 1, 1))


def test_a_cpu_multiplies_no_fp8() -> None:
    """It stores eight bits; the sums are made in full."""
    assert not can_multiply_fp8(torch.device("cpu"))
