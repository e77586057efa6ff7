"""Put pocket together: motion trained on a GPU, reading trained on a CPU, one checkpoint, matrices in twelve bits.

``python -m pipeline.pocket.assemble OUT.safetensors TEXT.safetensors MOTION.safetensors [MORE PARTS ...]``
"""

import argparse
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from pipeline.checkpoint import read_state
from pipeline.pocket.network import PocketConfig, PocketNetwork
from pipeline.row_scales import packed


def assemble(text: dict[str, Tensor], motion: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the whole state dict. Raises RuntimeError (torch's, with the names) where keys or shapes do not fit."""
    whole = motion | {f"text.{key}": value for key, value in text.items()}
    PocketNetwork(PocketConfig()).load_state_dict(whole)
    return packed(whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("motion", type=Path, nargs="+")
    args = parser.parse_args()
    motion: dict[str, Tensor] = {}
    for part in args.motion:
        motion |= read_state(part)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(assemble(read_state(args.text), motion), args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
