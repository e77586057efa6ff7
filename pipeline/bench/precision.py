"""How far each attention kernel here is from float32: ``python -m pipeline.bench.precision``.

Queries, keys and values are normally distributed, the values of a token alike across its heads' channels, as they are
where neighbours in a video are. What matters is how far the scores spread: the wider, the fewer keys a query really
looks at. Prints Markdown, the rms of the difference over the rms. ``--rounded`` tells instead what a format costs by
itself: everything else in float32, on a part of the size, on any machine.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline.networks.attention import attend, available_kernels

Rounding = Callable[[Tensor], Tensor]

SPREADS = (0.5, 1.0, 2.0, 3.0, 5.0)
PART = (256, 6_000, 2, 128)
SIZE = (1560, 18_720, 12, 128)
"""Queries, keys, heads and width at 480x832 with a window of 12 latents."""


def inputs(spread: float, size: tuple[int, int, int, int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Draw queries ``float32 [1, L, N, D]``, keys and values whose scores have this standard deviation."""
    queries, keys, heads, width = size
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(1, *shape, device=device, generator=generator)

    q, k = (draw(rows, heads, width) * spread**0.5 for rows in (queries, keys))
    return q, k, 0.7 * draw(keys, heads, width) + 0.7 * draw(keys, heads, 1)


def errors(
    spread: float, size: tuple[int, int, int, int] = SIZE, device: torch.device | None = None
) -> dict[str, float]:
    """Compare every kernel that runs here, on bfloat16, with float32."""
    wide = inputs(spread, size, device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    # A head at a time: the scores of all in float32 take 17 GB.
    heads = ([part[:, :, [head]] for part in wide] for head in range(size[2]))
    exact = torch.cat([attend(q, k, v, "sdpa") for q, k, v in heads], 2)
    q, k, v = (part.bfloat16() for part in wide)
    return {
        kernel: ((attend(q, k, v, kernel).float() - exact).norm() / exact.norm()).item()
        for kernel in available_kernels()
    }


def rounded_errors(spread: float, size: tuple[int, int, int, int] = PART) -> dict[str, float]:
    """Round what is multiplied, and compare with not rounding."""
    q, k, v = (part.transpose(1, 2) for part in inputs(spread, size, torch.device("cpu")))

    def attended(q: Tensor, k: Tensor, v: Tensor, rounded: Rounding = lambda x: x) -> Tensor:
        scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
        shares = (scores - scores.amax(3, keepdim=True)).exp()
        return rounded(shares) @ v / shares.sum(3, keepdim=True)

    exact = attended(q, k, v)
    found = {
        "float8_e4m3fn for all": attended(in_fp8(q), in_fp8(k), in_fp8(v), in_fp8),
        "int8 for queries and keys": attended(in_int8(q), in_int8(k), v),
    }
    return {name: ((made - exact).norm() / exact.norm()).item() for name, made in found.items()}


def in_fp8(values: Tensor) -> Tensor:
    """Round to ``float8_e4m3fn``.

    >>> in_fp8(torch.tensor([1.0, 1.1])).tolist()
    [1.0, 1.125]
    """
    return values.to(torch.float8_e4m3fn).float()


def in_int8(values: Tensor) -> Tensor:
    """Round each row to 255 even steps.

    >>> in_int8(torch.tensor([[127.0, 3.4]])).tolist()
    [[127.0, 3.0]]
    """
    step = values.abs().amax(-1, keepdim=True) / 127
    return (values / step).round() * step


def table(rows: Sequence[tuple[float, dict[str, float]]]) -> list[str]:
    """Write the table.

    >>> table([(1.0, {"sdpa": 0.004})])
    ['| scores spread by | sdpa |', '|---|---|', '| 1 | 0.40 % |']
    """
    kernels = list(rows[0][1])
    lines = [f"| scores spread by | {' | '.join(kernels)} |", "|---" * (1 + len(kernels)) + "|"]
    return lines + [
        f"| {spread:g} | {' | '.join(f'{100 * found[k]:.2f} %' for k in kernels)} |" for spread, found in rows
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.bench.precision", description=__doc__)
    parser.add_argument("--rounded", action="store_true", help="what formats cost by themselves")
    measure = rounded_errors if parser.parse_args(words).rounded else errors
    print("\n".join(table([(spread, measure(spread)) for spread in SPREADS])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
