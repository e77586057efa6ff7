"""Put the network of layers together: the mean of the weights of trainings that began alike.

``python -m pipeline.pocket.assemble_layers OUT.safetensors PART.safetensors [MORE PARTS ...]``

They began with the same weights and saw other pictures since, so that their mean is a network too, and one that errs
less than either (Wortsman et al.: arXiv 2203.05482).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.checkpoint import read_state
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.layers_weights import NEAR
from pipeline.row_scales import packed


def mean(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Give the mean state dict. Raises RuntimeError (torch's, with the names) where keys or shapes do not fit."""
    for part in parts:
        LayersNetwork(NEAR in parts[0]).load_state_dict(part)
    return {name: torch.stack([part[name].float() for part in parts]).mean(0) for name in parts[0]}


def main() -> None:
    """Read, average and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", type=Path, nargs="+")
    args = parser.parse_args()
    save_file(packed(mean([read_state(part) for part in args.parts])), args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
