"""Give weights that read fewer effects rows for the rest, never read until they are taught.

``python -m pipeline.pocket.widen IN.safetensors OUT.safetensors``
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.checkpoint import read_state
from pipeline.pocket.intents import NAMED, SPLIT

# Parts of the logits that every effect has a share in, from the presence on.
_SHARED = slice(2, None)
ABSENT = -12.0
"""The logit of the presence of an effect that was not taught."""


def widened(rows: Tensor, absent: float = 0.0) -> Tensor:
    """Rows ``[logits of fewer effects, ...]`` as ``[LOGITS, ...]``; those of a new effect's presence are ``absent``.

    Raises ValueError where they are not of the first so many effects.
    """
    shares = [size // len(NAMED) for size in SPLIT[_SHARED]]
    before = sum(SPLIT[:2])
    known, rest = divmod(len(rows) - before, sum(shares))
    if rest or not 0 <= known <= len(NAMED):
        raise ValueError(f"{len(rows)} logits are not those of a text encoder for fewer effects")
    parts = rows.split([before, *(known * share for share in shares)])
    out = [parts[0]]
    for place, (part, share) in enumerate(zip(parts[1:], shares, strict=True)):
        more = rows.new_full(((len(NAMED) - known) * share, *rows.shape[1:]), 0.0 if place else absent)
        out += [part, more]
    return torch.cat(out)


def main() -> None:
    """Widen the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    state = read_state(args.source)
    for name in [name for name in state if name.endswith("head.2.weight")]:
        if name.removesuffix("head.2.weight") in ("", "text."):
            state[name] = widened(state[name])
            bias = name.replace("weight", "bias")
            state[bias] = widened(state[bias], ABSENT)
    save_file(state, args.out)
    print(f"{args.out}: {len(NAMED)} effects, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
