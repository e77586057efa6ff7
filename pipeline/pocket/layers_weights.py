"""Weights of the network of layers, with and without the part that tells how near things are."""

from pathlib import Path

import torch

from pipeline import weights
from pipeline.checkpoint import open_checkpoint
from pipeline.pocket.layers_network import LayersNetwork

# What only weights have that tell how near things are.
NEAR = "near.weight"


def read_layers(path: Path, device: torch.device | None = None) -> LayersNetwork:
    """Read a network, ready to be asked. Raises WeightsError where the file is not one of its."""
    checkpoint = open_checkpoint(path)
    network = LayersNetwork(NEAR in checkpoint.entries)
    # Once a picture, so that a faster type would save nothing that anyone could notice.
    weights.load(network, checkpoint, torch.float32, device or torch.device("cpu"))
    return network.eval().requires_grad_(False)
