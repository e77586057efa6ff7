"""Cut-outs as subjects for training layers: an animal or a boat is set into a picture as if it had been there.

Few photos have a subject, and a network that is shown few kinds of things takes others for rocks and water. So things
that were cut out of other photos stand anywhere, small or large, in the picture's light and blur, some sunk into water
or grass, some cut off by the frame, some over a mirror image or a shadow: what is pasted must not be known by its seam.
People who are painted to the hip stand at the frame's lower edge, as in a portrait.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.layers_depth import as_its_foot
from pipeline.pocket.layers_network import OUTPUTS

SUBJECT = 4
# Least and largest share of the frame that is covered, of a whole thing and of somebody cut off below; and the largest
# scale of a cut-out, which else gets too coarse.
LEAST, LEAST_BUST, LARGEST, COARSEST = 0.015, 0.06, 0.4, 1.4
# Shares of those that are cut off below by the frame, that stand anywhere even if little of them is seen, that are
# sunk, and that are hardly more than outlines against a bright ground.
CUT_BELOW, LOST, SUNK, BACKLIT = 0.15, 0.15, 0.4, 0.1
# Shares of mirror images below what is sunk and what is not, and of shadows below what is not.
MIRRORED, MIRRORED_DRY, SHADOWED = 0.5, 0.08, 0.45


def peopled(image: Tensor, kinds: Tensor, cuts: Tensor) -> tuple[Tensor, Tensor]:
    """Set a cut-out into each picture.

    ``image`` is ``float32 [n, 3, H, W]`` in 0..1, ``kinds`` are shares ``[n, 5, H, W]``, with or without two planes of
    depth behind (:mod:`pipeline.pocket.layers_depth`), ``cuts`` are ``uint8 [n, 4, h, w]``, colours and an alpha that
    is not multiplied in.
    """
    # What reaches the lower edge of where it is stored was cut off there.
    is_bust = (cuts[:, 3, -1] > 127).any(1)
    placed = _placed(cuts, is_bust, image.shape[2], image.shape[3])
    colour, alpha = _softened(placed)
    line, is_sunk, size = _waterline(alpha, is_bust)
    y = _rows(image)
    soft = (0.5 + 2.5 * _any(image)) * 2 / image.shape[2]
    share = alpha * torch.where(is_sunk, ((line - y) / soft).sigmoid(), torch.ones_like(alpha))
    ground = _cast(image, placed, (line, is_sunk, size))
    subject = torch.zeros_like(kinds)
    subject[:, SUBJECT] = 1
    if kinds.shape[1] > OUTPUTS:
        subject[:, OUTPUTS:] = as_its_foot(kinds[:, OUTPUTS:], share)
    lit = _fitting(colour, alpha, image)
    return torch.lerp(ground, lit, share), torch.lerp(kinds, subject, share)


def _any(image: Tensor) -> Tensor:
    return torch.rand(len(image), 1, 1, 1, device=image.device)


def _rows(image: Tensor) -> Tensor:
    return torch.linspace(-1, 1, image.shape[2], device=image.device)[:, None]


def _placed(cuts: Tensor, is_bust: Tensor, rows: int, columns: int) -> Tensor:
    """Cut-outs somewhere in the frame, colours multiplied by their alpha: ``float32 [n, 4, H, W]``."""
    rgba = cuts.float() / 255
    alpha = rgba[:, 3:]
    n, device = len(cuts), cuts.device
    own = alpha.mean((1, 2, 3)).clamp(min=1e-3)
    least = torch.where(is_bust, LEAST_BUST, LEAST)
    wanted = least * (LARGEST / least) ** torch.rand(n, device=device)
    scale = (wanted / own).sqrt().clamp(max=COARSEST)
    finer = scale * columns / cuts.shape[3]
    rgba = _thinned(torch.cat([rgba[:, :3] * alpha, alpha], 1), finer[:, None, None, None])
    turn = torch.where(is_bust, 0.03, 0.08) * torch.randn(n, device=device)
    mirror = (torch.rand(n, device=device) < 0.5).float() * 2 - 1
    aspect = columns / rows
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * turn.cos(), -turn.sin() / aspect
    theta[:, 1, 0], theta[:, 1, 1] = mirror * turn.sin() * aspect, turn.cos()
    theta[:, :, :2] /= scale[:, None, None]
    theta[:, :, 2] = -(theta[:, :, :2] @ _middles(alpha, scale, is_bust)[..., None])[..., 0]
    grid = F.affine_grid(theta, [n, 4, rows, columns], align_corners=False)
    return F.grid_sample(rgba, grid, align_corners=False)


def _middles(alpha: Tensor, scale: Tensor, is_bust: Tensor) -> Tensor:
    """Where their middles lie, ``[n, 2]`` in half frames: where there is room for them, cut off below, or anywhere.

    A bust ends below the frame, little of it most often.
    """
    n, device = len(alpha), alpha.device
    covers = torch.stack([_extent(alpha, 2), _extent(alpha, 3)], 1)
    half = covers * scale[:, None]
    where = torch.rand(n, 2, device=device)
    # Rather low, where more things are.
    where = 2 * torch.stack([where[:, 0], where[:, 1].sqrt()], 1) - 1
    middles = (1 - half).abs() * where
    kind = torch.rand(n, device=device)
    below = 1 - half[:, 1] * (0.2 + 0.8 * torch.rand(n, device=device))
    middles[:, 1] = torch.where(kind < CUT_BELOW, below, middles[:, 1])
    middles = torch.where((kind > 1 - LOST)[:, None], where, middles)
    ends = 1.06 + 0.6 * half[:, 1] * torch.rand(n, device=device).square()
    middles[:, 1] = torch.where(is_bust, ends - scale, middles[:, 1])
    return middles


def _extent(alpha: Tensor, along: int) -> Tensor:
    """Which share of the frame's width, for rows (2), or height, for columns (3), a cut-out spans."""
    return (alpha.amax((1, along)) > 0.5).float().mean(1)


def _thinned(rgba: Tensor, finer: Tensor) -> Tensor:
    """Blur what is to be shown so much smaller, else its grain would be coarser than the picture's."""
    level = (-finer.log2()).clamp(0, 3)
    thinned = rgba
    for step in range(3):
        pooled = F.avg_pool2d(rgba, 2 ** (step + 1))
        pooled = F.interpolate(pooled, size=rgba.shape[2:], mode="bilinear", align_corners=False)
        thinned = torch.lerp(thinned, pooled, (level - step).clamp(0, 1))
    return thinned


def _softened(placed: Tensor) -> tuple[Tensor, Tensor]:
    """Colours, and alpha with an edge of 1 to 2 px that lies a little inside, where no old ground shines through."""
    for _ in range(2):
        # What the frame cuts off is not soft there.
        placed = torch.lerp(placed, F.avg_pool2d(placed, 3, 1, 1, count_include_pad=False), _any(placed))
    alpha = placed[:, 3:]
    inside = 0.3 * _any(placed)
    return placed[:, :3] / alpha.clamp(min=0.01), ((alpha - inside) / (1 - inside)).clamp(0, 1)


def _waterline(alpha: Tensor, is_bust: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where a cut-out ends below, ``[n, 1, 1, W]``, if it is sunk, and how tall it is, ``[n, 1, 1, 1]``.

    What is sunk, which no bust is, ends at a wavy line, or a jagged one as of grass, over its lowest 20 to 50 %; all
    else at its foot.
    """
    y = _rows(alpha).expand(len(alpha), 1, -1, 1)
    rows = alpha.amax(3, keepdim=True) > 0.5
    foot = torch.where(rows, y, -torch.ones_like(y)).amax(2, keepdim=True)
    top = torch.where(rows, y, torch.ones_like(y)).amin(2, keepdim=True)
    size = (foot - top).clamp(min=0.02)
    is_sunk = (_any(alpha) < SUNK) & ~is_bust[:, None, None, None]
    waves = 0.05 * _any(alpha) * _line(alpha, 7) + 0.06 * _any(alpha) ** 2 * _line(alpha, 90)
    sunk = foot - size * (0.2 + 0.3 * _any(alpha) + waves)
    return torch.where(is_sunk, sunk, foot.expand_as(sunk)), is_sunk, size


def _line(image: Tensor, cells: int) -> Tensor:
    noise = torch.randn(len(image), 1, cells, device=image.device)
    return F.interpolate(noise, size=image.shape[3], mode="linear", align_corners=True)[:, :, None]


def _cast(image: Tensor, placed: Tensor, at: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The ground with a mirror image or a shadow of what stands on it, for some."""
    line, is_sunk, size = at
    n, _, rows, columns = image.shape
    kind = _any(image)
    is_mirror = kind < torch.where(is_sunk, MIRRORED, MIRRORED_DRY)
    is_shadow = ~is_sunk & (kind > 1 - SHADOWED)
    squeeze = torch.where(is_mirror, 0.6 + 0.5 * _any(image), 0.1 + 0.25 * _any(image))
    lean = torch.where(is_mirror, torch.zeros_like(kind), 2 * torch.randn_like(kind))
    y, x = _rows(image), torch.linspace(-1, 1, columns, device=image.device)
    # Waves tear a mirror image sideways, more the farther down it reaches.
    torn = 0.03 * _any(image) * _line(placed.transpose(2, 3), 40).transpose(2, 3)
    below = y - line
    there_y = line - below / squeeze
    there_x = x + lean * below + is_mirror * torn * (below / size).clamp(0, 1)
    grid = torch.stack([there_x.expand(n, 1, rows, columns)[:, 0], there_y.expand(n, 1, rows, columns)[:, 0]], -1)
    cast = F.avg_pool2d(F.grid_sample(placed, grid, align_corners=True), 5, 1, 2) * (below > 0)
    strength = (0.15 + 0.4 * _any(image)) * (is_mirror | is_shadow)
    return image * (1 - strength * cast[:, 3:]) + strength * is_mirror * cast[:, :3]


def _fitting(colour: Tensor, alpha: Tensor, image: Tensor) -> Tensor:
    """Colours brought part of the way to the light and hue of the picture, most of all of the place behind."""
    weight = alpha.sum((2, 3), keepdim=True).clamp(min=1e-3)
    own = ((colour * alpha).sum((2, 3), keepdim=True) / weight).clamp(min=0.02)
    behind = (image * alpha).sum((2, 3), keepdim=True) / weight
    scene = torch.lerp(image.mean((2, 3), keepdim=True), behind, _any(image)).clamp(min=0.02)
    light, hue = 0.7 * _any(image), 0.6 * _any(image)
    own_light, scene_light = own.mean(1, keepdim=True), scene.mean(1, keepdim=True)
    gain = (scene_light / own_light) ** light * ((scene / scene_light) / (own / own_light)) ** hue
    dark = torch.where(_any(image) < BACKLIT, 0.1 + 0.4 * _any(image), torch.ones_like(light))
    fitting = colour * gain.clamp(0.3, 2.5) * dark
    # Air lies between.
    return torch.lerp(fitting, scene, 0.25 * _any(image) ** 2).clamp(0, 1)
