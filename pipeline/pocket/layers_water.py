"""Water for training layers: open seas, lakes and rivers of waves in perspective, in the light of a picture.

Few photos show water and most of that is calm and blue, so pictures are flooded: waves are sums of sharp-crested sines
on a plane below a horizon; they mirror the picture or its sky by Fresnel's law, over a body of any colour.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Shares of open seas that fill the frame and of rivers; all else are lakes and coasts.
OPEN, RIVER = 0.15, 0.25
# Shares of waters that foam, and that glitter with a light.
FOAMING, GLITTERING = 0.4, 0.3
WAVES = 20
# Longest wave to shortest, and the nearest that a place may come to the horizon, in half frames.
SPREAD, NEAREST = 80.0, 0.015
BODIES = (
    (0.05, 0.25, 0.45),
    (0.05, 0.4, 0.45),
    (0.25, 0.3, 0.32),
    (0.3, 0.27, 0.15),
    (0.1, 0.2, 0.1),
    (0.03, 0.05, 0.1),
)


@dataclass(frozen=True)
class Waves:
    """Where the surface lies and how it leans: each ``[n, H, W]``, slopes across and towards the viewer."""

    across: Tensor
    towards: Tensor
    height: Tensor


def flooded(image: Tensor) -> tuple[Tensor, Tensor]:
    """Flood pictures ``float32 [n, 3, H, W]`` in 0..1; give them, and where water is now, ``float32 [n, 1, H, W]``."""
    n, device = len(image), image.device
    kind = torch.rand(n, 1, 1, device=device)
    is_open, is_river = kind < OPEN, kind > 1 - RIVER
    horizon = torch.where(is_open, -1.1 - 2 * _any(image), -0.4 + 1.0 * _any(image))
    x, y = _places(image)
    focal = 0.8 + 1.7 * _any(image)
    # Nothing but a plain colour would be fog or a wall as well.
    waves = _waves(x, (y - horizon).clamp(min=NEAREST), focal, 0.1 * is_open)
    here = _lake(x, y, horizon)
    here = torch.where(is_river, here * _river(y - horizon, x), torch.where(is_open, torch.ones_like(here), here))
    water = _lit(image, waves, horizon, focal, is_open.float())
    return water, here[:, None]


def _any(image: Tensor) -> Tensor:
    return torch.rand(len(image), 1, 1, device=image.device)


def _places(image: Tensor) -> tuple[Tensor, Tensor]:
    n, _, rows, columns = image.shape
    y = torch.linspace(-1, 1, rows, device=image.device)[None, :, None].expand(n, rows, columns)
    x = torch.linspace(-1, 1, columns, device=image.device)[None, None].expand(n, rows, columns)
    return x, y


def _line(like: Tensor, cells: int, side: int) -> Tensor:
    """A smooth random line of values around 0, along columns (2) or rows (1) of ``[n, H, W]``."""
    noise = torch.randn(len(like), 1, cells, device=like.device)
    line = F.interpolate(noise, size=like.shape[side], mode="linear", align_corners=True)
    return line if side == 2 else line.transpose(1, 2)


def _lake(x: Tensor, y: Tensor, horizon: Tensor) -> Tensor:
    """From a far shore, at or below the horizon, to a near one, mostly below the frame."""
    uneven = 0.12 * _any(y) * (_any(y) < 0.6)
    far = horizon + uneven * (_line(y, 5, 2) + 0.4 * _line(y, 23, 2)).abs()
    near = 0.4 + 2.2 * _any(y) + 0.4 * torch.randn_like(horizon) * x + 0.1 * _line(y, 6, 2)
    return ((y > far) & (y < torch.maximum(near, far + 0.15))).float()


def _river(depth: Tensor, x: Tensor) -> Tensor:
    """A bed that winds towards the viewer and grows wider."""
    width = 0.03 + (0.15 + 0.6 * _any(x)) * depth.clamp(min=0)
    middle = 0.6 * torch.randn_like(_any(x)) * (1 - depth) + 0.5 * _line(x, 5, 1) * depth.clamp(0.1, 1)
    return ((x - middle).abs() < width * (1 + 0.2 * _line(x, 12, 1))).float()


def _waves(x: Tensor, depth: Tensor, focal: Tensor, least: Tensor) -> Waves:
    rows, columns = depth.shape[1:]
    away = focal / depth
    aside = x * (columns / rows) * away / focal
    # A pixel is so long on the plane; shorter waves are not to be seen.
    pixel = away**2 / focal * (2 / rows)
    # Mostly from far away or to there: crests lie across.
    wind = 1.57 + 0.6 * torch.randn_like(_any(x))
    longest = away.mean((1, 2), keepdim=True) * 2 ** (3.5 * _any(x) - 3)
    across, towards, height = torch.zeros_like(depth), torch.zeros_like(depth), torch.zeros_like(depth)
    for step in range(WAVES):
        number = 6.3 / longest * SPREAD ** ((step + _any(x)) / WAVES)
        angle = wind + 0.9 * torch.randn_like(wind)
        phase = number * (angle.cos() * aside + angle.sin() * away) + 6.3 * _any(x)
        seen = torch.exp(-((0.5 * number * pixel) ** 2))
        crest = seen * torch.exp(1.2 * (phase.sin() - 1))
        across = across + angle.cos() * phase.cos() * crest
        towards = towards + angle.sin() * phase.cos() * crest
        height = height + crest / (1 + step)
    rough = torch.maximum(0.02 * 20 ** _any(x), least)
    return Waves(rough * across, rough * towards, height)


def _lit(image: Tensor, waves: Waves, horizon: Tensor, focal: Tensor, is_open: Tensor) -> Tensor:
    """What is seen of a surface: the picture or its sky in a mirror, the body below, foam and glitter."""
    n, device = len(image), image.device
    x, y = _places(image)
    aspect = image.shape[3] / image.shape[2]
    down = (y - horizon).clamp(min=NEAREST)
    there_x = x + focal * waves.across / aspect
    there_y = horizon - down - focal * waves.towards
    mirrored = F.grid_sample(image, torch.stack([there_x, there_y], -1), padding_mode="reflection", align_corners=True)
    sky = _sky(image, (horizon - there_y).abs())
    plain = torch.maximum(is_open, _any(image) ** 0.7)[:, None]
    mirrored = torch.lerp(mirrored, sky, plain)
    # The angle at which a leaning surface is looked at.
    length = (1 + (focal / down) ** 2 + (x * aspect / down) ** 2).sqrt()
    facing = (1 + waves.towards * focal / down + waves.across * x * aspect / down) / length
    facing = facing / (1 + waves.across**2 + waves.towards**2).sqrt()
    fresnel = 0.02 + 0.98 * (1 - facing.clamp(0, 1)) ** 5
    fresnel = (fresnel + 0.6 * _any(image) * (1 - fresnel))[:, None]
    bodies = torch.tensor(BODIES, device=device)[torch.randint(len(BODIES), (n,), device=device)][..., None, None]
    light = image.mean((1, 2, 3))[:, None, None, None] * (0.6 + 1.4 * torch.rand(n, 1, 1, 1, device=device))
    body = bodies * (0.7 + 0.6 * torch.rand(n, 3, 1, 1, device=device)) * 3 * light
    body = body * (1 + torch.randn(n, 1, 1, 1, device=device) * waves.across[:, None] + waves.towards[:, None])
    water = torch.lerp(body, mirrored, fresnel)
    water = torch.lerp(water, 1.6 * light.clamp(max=0.6), _foam(waves, image)[:, None])
    lamp_x, lamp_y = 2 * _any(image) - 1, horizon - 0.8 * _any(image)
    apart = (there_x - lamp_x) ** 2 / 0.03 + (there_y - lamp_y) ** 2 / 0.1
    glitter = torch.exp(-apart) * (_any(image) < GLITTERING) * (0.4 + _any(image))
    tint = 1 - torch.tensor([0.0, 0.2, 0.5], device=device)[:, None, None] * torch.rand(n, 1, 1, 1, device=device)
    return (water + glitter[:, None] * tint).clamp(0, 1)


def _sky(image: Tensor, height: Tensor) -> Tensor:
    """A sky in a picture's colours, from its middle's at the horizon to its top's."""
    rows = image.shape[2]
    top = image[:, :, : rows // 4].mean((2, 3), keepdim=True)
    low = image[:, :, rows // 4 : rows // 2].mean((2, 3), keepdim=True)
    # Mostly as grey as water is under clouds.
    colour = torch.lerp(low, top, (height / 1.5).clamp(0, 1)[:, None])
    return torch.lerp(colour, colour.mean(1, keepdim=True), torch.rand(len(image), 1, 1, 1, device=image.device))


def _foam(waves: Waves, image: Tensor) -> Tensor:
    rows, columns = image.shape[2:]
    grain = torch.rand(len(image), 1, rows // 2, columns // 2, device=image.device)
    grain = F.interpolate(grain, size=(rows, columns), mode="bilinear", align_corners=False)[:, 0]
    high = torch.quantile(waves.height.flatten(1)[:, ::37], 0.8, dim=1)[:, None, None]
    most = waves.height.amax((1, 2), keepdim=True)
    above = (waves.height - torch.lerp(high, most, 0.2 + 0.8 * _any(image))) / (most - high).clamp(min=1e-3)
    return (8 * above * (0.4 + 1.2 * grain)).clamp(0, 0.9) * (_any(image) < FOAMING)
