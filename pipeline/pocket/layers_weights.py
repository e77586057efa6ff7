"""Weights of the networks that find layers."""

from pathlib import Path

import torch
from torch import nn

from pipeline import weights
from pipeline.checkpoint import open_checkpoint
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.looking import Finder
from pipeline.pocket.salient_network import SalientNetwork

# What only weights have that tell how near things are.
NEAR = "near.weight"


def read_finder(layers: Path, salient: Path, device: torch.device | None = None) -> Finder:
    """Read both networks, ready to be asked. Raises WeightsError where a file is not one of theirs."""
    return Finder(read_layers(layers, device), read_salient(salient, device))


def read_layers(path: Path, device: torch.device | None = None) -> LayersNetwork:
    """Read the network of layers, with or without the part that tells how near things are; raises WeightsError."""
    checkpoint = open_checkpoint(path)
    network = LayersNetwork(NEAR in checkpoint.entries)
    # Once a picture, so that a faster type would save nothing that anyone could notice.
    weights.load(network, checkpoint, torch.float32, device or torch.device("cpu"))
    _make_ready(network)
    return network


def read_salient(path: Path, device: torch.device | None = None) -> SalientNetwork:
    """Read the network that tells what draws the eye. Raises WeightsError where the file is not one of its."""
    network = SalientNetwork()
    weights.load(network, path, torch.float32, device or torch.device("cpu"))
    _make_ready(network)
    return network


def _make_ready(network: nn.Module) -> None:
    network.eval().requires_grad_(False)
    # With a pixel's channels side by side convolutions take a CPU less time.
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  none of torch's overloads has it
