"""The picture as the decoder samples it: twice the frame's size, with a soft world around it.

At rest the view is the picture, to the last grey level: averaging the canvas two by two gives the frame's own
picture exactly. Around it lies what the crop left over, and beyond that a world that only continues colours:
mirrored, then blurred more the farther it is, so that nobody sees a mirror.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.geometry import cover_crop
from pipeline.types import Pixels

SCALE = 2
# Canvas px around the picture on each side; the camera's governor keeps the view well inside.
MARGIN = (192, 320)
BLUR_LEVELS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """``texture float32 [1, 3, H, W]`` in 0..255 at SCALE, with margins; ``rest uint8 [H, W, 3]``: the resting view."""

    texture: Tensor
    rest: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the texture."""
        return int(self.texture.shape[2]), int(self.texture.shape[3])


def prepare(image: Pixels, width: int, height: int) -> Canvas:
    """Make the canvas of a whole upright picture ``uint8 [H, W, 3]``."""
    picture = Image.fromarray(image)
    left, top, right, bottom = cover_crop(picture.width, picture.height, (width, height))
    box = (left, top, picture.width - right, picture.height - bottom)
    view = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
    factor = SCALE * width / (box[2] - box[0])
    rooms = (left, top, right, bottom)
    known = [int(min(m, room * factor)) for m, room in zip((MARGIN[1], MARGIN[0]) * 2, rooms, strict=True)]
    x0, y0, x1, y1 = (edge + sign * k / factor for edge, sign, k in zip(box, (-1, -1, 1, 1), known, strict=True))
    size = (SCALE * width + known[0] + known[2], SCALE * height + known[1] + known[3])
    texture = _float(np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=(x0, y0, x1, y1))))
    core = texture[..., known[1] : known[1] + SCALE * height, known[0] : known[0] + SCALE * width]
    # One back-projection: nearest spreading of the difference makes the averages exact.
    core += F.interpolate(_float(view) - F.avg_pool2d(core, SCALE), scale_factor=SCALE)
    return Canvas(_surround(texture, (known[0], known[1], known[2], known[3])), torch.from_numpy(view.copy()))


def _float(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float().contiguous()


def _surround(texture: Tensor, known: tuple[int, int, int, int]) -> Tensor:
    """Fill the margins that the picture itself does not reach."""
    left, top, right, bottom = (m - k for m, k in zip((MARGIN[1], MARGIN[0]) * 2, known, strict=True))
    if not (left or top or right or bottom):
        return texture
    mirrored = F.pad(texture, (left, right, top, bottom), mode="reflect")
    height, width = mirrored.shape[2:]
    rows, columns = torch.arange(height), torch.arange(width)
    dy = torch.maximum(top - rows, rows - (height - 1 - bottom)).clamp(min=0).float()
    dx = torch.maximum(left - columns, columns - (width - 1 - right)).clamp(min=0).float()
    distance = torch.maximum(dy[:, None], dx[None])
    level = torch.log2(1 + distance / 3).clamp(max=BLUR_LEVELS)
    out, small = mirrored.clone(), mirrored
    for k in range(1, BLUR_LEVELS + 1):
        small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 4, 2)
        smooth = F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
        weight = (level - (k - 1)).clamp(0, 1)
        out = torch.lerp(out, smooth, weight)
    return out
