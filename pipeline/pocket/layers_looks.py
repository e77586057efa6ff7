"""How one picture may look: light, colour, haze, sharpness, motion blur, brush strokes; for training layers only."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Shares of the pictures that are of another hue, smeared by motion, painted in strokes, dark, hazy, and of which each
# kind is in a light of its own.
TURNED, SMEARED, STROKED, DARKENED, HAZED, RELIT = 0.15, 0.08, 0.2, 0.15, 0.12, 0.3
# Steps of a stroke to either side, each of so large a share of half the picture's height.
STEPS, STRIDE = 4, 0.008


def varied(image: Tensor) -> Tensor:
    """Vary pictures ``float32 [n, 3, H, W]`` in 0..1, each in its own way; what is where stays."""
    image = image.clone()
    for look, share in ((hazed, HAZED), (stroked, STROKED), (smeared, SMEARED), (turned, TURNED)):
        some = torch.rand(len(image), device=image.device) < share
        if bool(some.any()):
            image[some] = look(image[some])
    return developed(image)


def relit(image: Tensor, kinds: Tensor) -> Tensor:
    """Give each kind ``[n, K, H, W]`` of some pictures a light of its own: skies may be dark, water of any colour."""
    n, count = kinds.shape[:2]
    some = (torch.rand(n, 1, 1, 1, device=image.device) < RELIT).float()
    shade = 0.35 * torch.randn(n, count, 1, device=image.device)
    log_gains = shade + 0.15 * torch.randn(n, count, 3, device=image.device)
    gains = torch.einsum("nkc,nkhw->nchw", log_gains, kinds)
    return (image * (some * gains).exp()).clamp(0, 1)


def hazed(image: Tensor) -> Tensor:
    """Lay haze over it, thickest about a line and thinner below, where things are near."""
    n, _, rows, columns = image.shape
    device = image.device
    y = torch.linspace(0, 1, rows, device=device)[:, None].expand(rows, columns)
    line, below, above = (torch.rand(n, 1, 1, device=device) for _ in range(3))
    apart = y - 0.7 * line
    thick = torch.exp(-apart.clamp(min=0) / (0.1 + 0.5 * below)) * torch.exp(apart.clamp(max=0) / (0.3 + 2 * above))
    grey = image.mean((1, 2, 3), keepdim=True) * (1 + 0.6 * torch.rand(n, 1, 1, 1, device=device))
    colour = (grey * torch.exp(0.08 * torch.randn(n, 3, 1, 1, device=device))).clamp(0, 1)
    strength = (0.3 + 0.6 * torch.rand(n, 1, 1, 1, device=device)) * thick[:, None]
    return torch.lerp(image, colour, strength)


def developed(image: Tensor) -> Tensor:
    """Vary light, colour, contrast, sharpness and grain."""
    n, device = len(image), image.device
    gamma = torch.exp(0.35 * torch.randn(n, 1, 1, 1, device=device))
    tint = torch.exp(0.15 * torch.randn(n, 3, 1, 1, device=device))
    grey = image.mean(1, keepdim=True)
    image = grey + (image - grey) * (0.2 + 1.2 * torch.rand(n, 1, 1, 1, device=device))
    image = (image.clamp(0.001, 1) ** gamma * tint).clamp(0, 1)
    dark = (torch.rand(n, 1, 1, 1, device=device) < DARKENED) * (0.3 + 0.5 * torch.rand(n, 1, 1, 1, device=device))
    image = image * (1 - dark)
    blurred = F.avg_pool2d(image, 3, 1, 1)
    image = torch.lerp(image, blurred, torch.rand(n, 1, 1, 1, device=device) * 1.6 - 0.6)
    grain = 0.04 * torch.rand(n, 1, 1, 1, device=device) * torch.randn_like(image)
    return (image + grain).clamp(0, 1)


def turned(image: Tensor) -> Tensor:
    """Turn the hue, about the grey axis, so that light stays; by less rather than more, for leaves are rarely blue."""
    angle = 0.8 * torch.randn(len(image), device=image.device)
    cos, sin = angle.cos(), angle.sin()
    same, next_, last = (1 + 2 * cos) / 3, (1 - cos) / 3 - sin / 3**0.5, (1 - cos) / 3 + sin / 3**0.5
    matrix = torch.stack([same, next_, last, last, same, next_, next_, last, same], 1).view(-1, 3, 3)
    return torch.einsum("nij,njhw->nihw", matrix, image).clamp(0, 1)


def smeared(image: Tensor) -> Tensor:
    """Smear along one direction, mostly across, as a camera does that moves."""
    n, device = len(image), image.device
    angle, size = 0.2 * torch.randn(n, device=device), 0.02 + 0.08 * torch.rand(n, device=device)
    along = torch.stack([angle.cos(), angle.sin()], 1) * size[:, None] / STEPS
    return _along(image, along[:, None, None].expand(-1, *image.shape[2:], -1))


def stroked(image: Tensor) -> Tensor:
    """Paint in strokes: grain and picture alike are drawn out along a field of directions, in fewer colours."""
    n, _, rows, columns = image.shape
    device = image.device
    cells = int(torch.randint(4, 11, ()))
    field = torch.randn(n, 2, cells, 2 * cells, device=device)
    field = F.interpolate(field, size=(rows, columns), mode="bicubic", align_corners=False)
    # Bristles of a pixel or two, or a broad brush, whose strokes are longer.
    coarse = int(torch.randint(2, 7, ()))
    reach = STRIDE * (coarse / 2) ** 0.5 * (0.5 + torch.rand(n, 1, 1, 1, device=device))
    field = F.normalize(field, dim=1) * reach
    grain = torch.randn(n, 3, rows // coarse, columns // coarse, device=device)
    motley = 0.2 + 0.5 * torch.rand(n, 1, 1, 1, device=device).square()
    grain = F.interpolate(motley * grain + grain.mean(1, keepdim=True), size=(rows, columns))
    strength = (0.05 + 0.3 * torch.rand(n, 1, 1, 1, device=device)) * (2 / coarse) ** 0.7
    painted = _along(image + strength * grain, field.permute(0, 2, 3, 1))
    levels = 4 + 12 * torch.rand(n, 1, 1, 1, device=device)
    return torch.lerp(painted, (painted * levels).round() / levels, 0.5).clamp(0, 1)


def _along(image: Tensor, stride: Tensor) -> Tensor:
    """The mean of a picture along lines of a field ``[n, H, W, 2]``, as shares of half its sides, in steps."""
    rows, columns = image.shape[2:]
    y = torch.linspace(-1, 1, rows, device=image.device)[:, None].expand(rows, columns)
    x = torch.linspace(-1, 1, columns, device=image.device).expand(rows, columns)
    home = torch.stack([x, y], -1)[None]
    stride = stride * stride.new_tensor([rows / columns, 1.0])
    total = image
    for step in (*range(-STEPS, 0), *range(1, STEPS + 1)):
        total = total + F.grid_sample(image, home + step * stride, padding_mode="reflection", align_corners=True)
    return total / (2 * STEPS + 1)
