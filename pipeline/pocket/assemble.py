"""Put pocket together: motion trained on a GPU, reading trained on a CPU, one checkpoint in float16.

``python -m pipeline.pocket.assemble OUT.safetensors TEXT.safetensors MOTION.safetensors [MORE PARTS ...]``
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.pocket.network import PocketConfig, PocketNetwork


def assemble(text: dict[str, Tensor], motion: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the whole state dict. Raises RuntimeError (torch's, with the names) where keys or shapes do not fit."""
    whole = motion | {f"text.{key}": value for key, value in text.items()}
    PocketNetwork(PocketConfig()).load_state_dict(whole)
    return {k: v.contiguous() if v.dtype == torch.int8 else v.half().contiguous() for k, v in whole.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("motion", type=Path, nargs="+")
    args = parser.parse_args()
    motion: dict[str, Tensor] = {}
    for part in args.motion:
        motion |= load_file(part)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(assemble(load_file(args.text), motion), args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
