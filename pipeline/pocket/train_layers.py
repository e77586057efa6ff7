"""Train the network of layers: ``python -m pipeline.pocket.train_layers PACK.npz LITE0.pth OUT.safetensors``.

Each step shows random views of photos and drawn scenes. There are few photos, so most of what is shown is composed: all
of some kinds of another photo, its leaves and its lake, say, lie over a photo; subjects of other photos and cut-outs
(:mod:`pipeline.pocket.layers_subjects`) are set into them; some are flooded (:mod:`pipeline.pocket.layers_water`), and
some lie once more in still water (:mod:`pipeline.pocket.layers_mirrors`).
Looks vary (:mod:`pipeline.pocket.layers_looks`). Kinds of which there is little are drawn more often. Every step shows
one of several sizes. Trainings begin alike, whatever their seed, so that their mean is a network too
(:mod:`pipeline.pocket.assemble_layers`). What is given is the running mean at the end; how it does on photos that were
kept out is told on the way.
"""

import argparse
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pipeline.checkpoint import read_state
from pipeline.pocket.folds import Fold, kept
from pipeline.pocket.layers_depth import NEARNESS, as_its_foot, off, told
from pipeline.pocket.layers_looks import relit, varied
from pipeline.pocket.layers_mirrors import mirrored
from pipeline.pocket.layers_network import INPUT_SIZE, OUTPUTS, STEP, LayersNetwork
from pipeline.pocket.layers_start import read_start
from pipeline.pocket.layers_subjects import peopled
from pipeline.pocket.layers_water import flooded

# Pictures to what they are as water, and where that is.
Watering = Callable[[Tensor], tuple[Tensor, Tensor]]
SEED = 20261129
WATER, SUBJECT = 2, 4
LEARNING_RATE = 1.2e-3
SIZES = ((192, 336), (224, 384), INPUT_SIZE, INPUT_SIZE)
# Of what reads the picture, which begins well trained.
READER, SLOWER = ("stem.", "blocks."), 0.12
WEIGHT_DECAY = 0.05
AVERAGE = 0.998
# Shares of the pictures that are drawn or painted, lie under kinds of another photo, get another photo's subject, get a
# cut-out, are flooded, are mirrored in still water.
DRAWN, COMPOSED, PEOPLED, LENT, FLOODED, MIRRORED = 0.2, 0.5, 0.25, 0.2, 0.2, 0.12
CROWDED = 0.3


@dataclass(frozen=True)
class Pack:
    """Pictures ``uint8 [K, 3, 360, 624]`` and kinds ``uint8 [K, 240, 416]``; the rest are rows of them.

    ``donors`` are photos with a subject, ``kept`` photos that are not trained on but only looked at. ``cuts`` are
    cut-outs with alpha, ``uint8 [C, 4, 240, 416]``; ``near``, of the shape of kinds, is how near places are, in bytes
    of ``layers_depth``; None: nobody told.
    """

    pictures: Tensor
    kinds: Tensor
    photos: Tensor
    scenes: Tensor
    donors: Tensor
    kept: Tensor
    cuts: Tensor
    near: Tensor | None = None

    @cached_property
    def odds(self) -> Tensor:
        """How likely each of ``photos`` is to be drawn: half of it alike, half so that all kinds are shown as much."""
        shown = F.one_hot(self.kinds[self.photos].long(), OUTPUTS).float().mean((1, 2))
        even = (shown / shown.sum(0).clamp(min=1e-3)).sum(1)
        return even / even.sum() + 1 / len(even)


def load(path: Path, device: torch.device, fold: Fold | None = None) -> Pack:
    """Read a pack of ``layers_data`` into device memory; a fold is kept out besides what always is."""
    with np.load(path) as pack:

        def images(name: str) -> Tensor:
            blob, ends = pack[f"{name}_bytes"].tobytes(), np.cumsum(pack[f"{name}_sizes"])
            starts = ends - pack[f"{name}_sizes"]
            some = [Image.open(io.BytesIO(blob[a:b])) for a, b in zip(starts, ends, strict=True)]
            # Drawings are stored smaller than photos.
            size = max(one.size for one in some)
            whole = [np.asarray(one.resize(size, Image.Resampling.BICUBIC)) for one in some]
            return torch.from_numpy(np.stack(whole)).to(device)

        pictures, cuts = (images(name).permute(0, 3, 1, 2).contiguous() for name in ("jpeg", "cut"))
        rows = torch.arange(len(pictures), device=device)
        count = int(pack["photos"])
        out = torch.tensor(kept(pack["kept"].tolist(), fold), device=device)
        has_subject = torch.from_numpy(pack["subject"].copy()).to(device)
        photos, donors = rows[:count][~out], rows[:count][has_subject & ~out]
        near = images("near") if "near_bytes" in pack else None
        return Pack(pictures, images("png"), photos, rows[count:], donors, rows[:count][out], cuts, near)


def batch(pack: Pack, count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Draw pictures ``float32 [n, 3, H, W]`` in -1..1, kinds ``int64 [n, H / 2, W / 2]`` and depths ``[n, 2, ...]``."""
    device = pack.pictures.device
    scenes = pack.scenes[torch.randint(len(pack.scenes), (count,), device=device)]
    rows = torch.where(torch.rand(count, device=device) < DRAWN, scenes, _photos(pack, count))
    image, kinds = _view(pack, rows, size, (0.4, 1.0))
    other, other_kinds = _view(pack, _photos(pack, count), size, (0.4, 1.0))
    # Some kinds of the other photo, each as likely as not; but what is under water is no sky behind a house.
    some = (torch.rand(count, OUTPUTS, 1, 1, device=device) < 0.5) * other_kinds[:, :OUTPUTS]
    is_dry = kinds[:, WATER : WATER + 1, : size[0] // 8].mean((2, 3), keepdim=True) < 0.5
    share = some.sum(1, keepdim=True) * is_dry * _chosen(image, COMPOSED)
    image, kinds = _laid((image, kinds), (other, other_kinds), share)
    image, kinds = _watered(image, kinds, flooded, FLOODED)
    donors = pack.donors[torch.randint(len(pack.donors), (count,), device=device)]
    other, other_kinds = _view(pack, donors, size, (0.7, 2.2))
    pasted = other_kinds[:, SUBJECT:OUTPUTS]
    other_kinds[:, OUTPUTS:] = as_its_foot(kinds[:, OUTPUTS:], pasted)
    # Not too little of a subject.
    fits = (pasted.mean((1, 2, 3), keepdim=True) > 0.01) * _chosen(image, PEOPLED)
    image, kinds = _laid((image, kinds), (other, other_kinds), pasted * fits)
    # Where much is a subject already, one more teaches nothing of it.
    lent = (torch.rand(count, device=device) < LENT) & (kinds[:, SUBJECT].mean((1, 2)) < CROWDED)
    if bool(lent.any()):
        cuts = pack.cuts[torch.randint(len(pack.cuts), (int(lent.sum()),), device=device)]
        image[lent], kinds[lent] = peopled(image[lent], kinds[lent], cuts)
    # Last, so that what was set in stands in the water head down.
    image, kinds = _watered(image, kinds, mirrored, MIRRORED)
    half = F.avg_pool2d(kinds, 2)
    return varied(relit(image, kinds[:, :OUTPUTS])) * 2 - 1, half[:, :OUTPUTS].argmax(1), half[:, OUTPUTS:]


def _watered(image: Tensor, kinds: Tensor, water: Watering, share: float) -> tuple[Tensor, Tensor]:
    """Put water into so many of a batch."""
    wet = torch.rand(len(image), device=image.device) < share
    if bool(wet.any()):
        surface, here = water(image[wet])
        lake = torch.zeros_like(kinds[wet])
        lake[:, WATER] = 1
        image[wet], kinds[wet] = _laid((image[wet], kinds[wet]), (surface, lake), here)
    return image, kinds


def _photos(pack: Pack, count: int) -> Tensor:
    return pack.photos[torch.multinomial(pack.odds, count, replacement=True)]


def _chosen(image: Tensor, share: float) -> Tensor:
    """1 for so many of a batch, 0 for the others: ``[n, 1, 1, 1]``."""
    return (torch.rand(len(image), 1, 1, 1, device=image.device) < share).float()


def _laid(under: tuple[Tensor, Tensor], over: tuple[Tensor, Tensor], share: Tensor) -> tuple[Tensor, Tensor]:
    """Lay one batch of pictures and kinds over another by shares ``[n, 1, H, W]``."""
    return torch.lerp(under[0], over[0], share), torch.lerp(under[1], over[1], share)


def _view(pack: Pack, rows: Tensor, size: tuple[int, int], scales: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Random crops, or for scales over 1 reductions with nothing around: pictures in 0..1, shares ``[n, 7, H, W]``.

    Behind the shares of the kinds stands depth (:mod:`pipeline.pocket.layers_depth`).
    """
    n, device = len(rows), rows.device
    low, high = scales
    scale = low + (high - low) * torch.rand(n, device=device)
    turn = 0.08 * torch.randn(n, device=device)
    mirror = (torch.rand(n, device=device) < 0.5).float() * 2 - 1
    theta = torch.zeros(n, 2, 3, device=device)
    aspect = size[1] / size[0]
    wide = scale * torch.exp(-0.25 * torch.rand(n, device=device))
    theta[:, 0, 0], theta[:, 0, 1] = wide * mirror * turn.cos(), -wide * turn.sin() / aspect
    theta[:, 1, 0], theta[:, 1, 1] = scale * mirror * turn.sin() * aspect, scale * turn.cos()
    theta[:, :, 2] = (1 - scale).abs()[:, None] * (2 * torch.rand(n, 2, device=device) - 1)
    grid = F.affine_grid(theta, [n, 3, *size], align_corners=False)
    padding = "reflection" if high <= 1 else "zeros"
    image = pack.pictures[rows].float() / 255
    if high > 1:
        # A reduction takes single pixels: what is that small would twinkle.
        image = F.interpolate(image, pack.kinds.shape[1:], mode="area")
    shares = F.one_hot(pack.kinds[rows].long(), OUTPUTS).permute(0, 3, 1, 2).float()
    depth = shares.new_zeros(n, 2, *shares.shape[2:]) if pack.near is None else told(pack.near[rows], scale)
    return (
        F.grid_sample(image, grid, padding_mode=padding, align_corners=False),
        F.grid_sample(torch.cat([shares, depth], 1), grid, padding_mode=padding, align_corners=False),
    )


def loss_of(logits: Tensor, kinds: Tensor) -> Tensor:
    """Cross-entropy and a soft Dice of the layers, which hears a small one as well as a large one."""
    shares = logits.float().softmax(1)
    wanted = F.one_hot(kinds, OUTPUTS).permute(0, 3, 1, 2).float()
    both = (shares * wanted).sum((0, 2, 3))
    dice = (2 * both + 1) / (shares.sum((0, 2, 3)) + wanted.sum((0, 2, 3)) + 1)
    return F.cross_entropy(logits.float(), kinds, label_smoothing=0.02) + 0.5 * (1 - dice[1:]).mean()


@torch.inference_mode()
def overlap(network: LayersNetwork, pack: Pack, size: tuple[int, int]) -> list[float]:
    """Intersection over union of each kind, rest first, on the photos that were kept out."""
    network.eval()
    pictures = F.interpolate(pack.pictures[pack.kept].float() / 127.5 - 1, size, mode="bilinear", antialias=True)
    found = F.interpolate(network(pictures), pack.kinds.shape[1:], mode="bilinear").argmax(1)
    network.train()
    wanted = pack.kinds[pack.kept]
    both = [
        ((found == k) & (wanted == k)).sum() / ((found == k) | (wanted == k)).sum().clamp(min=1) for k in range(OUTPUTS)
    ]
    return [round(float(share), 3) for share in both]


@dataclass(frozen=True)
class Plan:
    """How long, how many views a step, from which seed, at which rate at most, of which of these sizes."""

    seconds: float
    count: int
    seed: int = SEED
    rate: float = LEARNING_RATE
    sizes: tuple[tuple[int, int], ...] = SIZES


def train(pack: Pack, start: dict[str, Tensor], plan: Plan) -> LayersNetwork:
    """Train from parameters to start with, some or all; give the running mean of the weights."""
    device = pack.pictures.device
    torch.manual_seed(SEED)
    network = LayersNetwork(pack.near is not None).to(device)
    network.load_state_dict(start, strict=False)
    # A pixel's channels side by side: a step takes two thirds of the time on an H200.
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  none of torch's overloads has it
    torch.manual_seed(plan.seed)
    mean = {name: value.detach().clone() for name, value in network.state_dict().items()}
    groups = [
        {"params": [p for name, p in network.named_parameters() if name.startswith(READER) == is_slow], "pace": pace}
        for is_slow, pace in ((False, 1.0), (True, SLOWER))
    ]
    optimizer = torch.optim.AdamW(groups, lr=plan.rate, weight_decay=WEIGHT_DECAY)
    begun, step, spent = time.monotonic(), 0, 0.0
    judge = LayersNetwork(pack.near is not None).to(device)
    while spent < plan.seconds:
        share = min(1, spent / plan.seconds)
        rate = plan.rate * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        pictures, kinds, depth = batch(pack, plan.count, plan.sizes[int(torch.randint(len(plan.sizes), ()))])
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits, near = network.both(pictures.contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits, kinds)
        loss = loss if near is None else loss + NEARNESS * off(near.float(), depth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        keep = min(AVERAGE, (step + 1) / (step + 10))
        for name, value in network.state_dict().items():
            mean[name].lerp_(value, 1 - keep)
        step, spent = step + 1, time.monotonic() - begun
        if step % 250 == 0 or spent >= plan.seconds:
            judge.load_state_dict(mean)
            told = overlap(judge, pack, INPUT_SIZE)
            print(f"{spent:5.0f} s, step {step}, loss {loss.item():.3f}, overlap {told}", flush=True)
    network.load_state_dict(mean)
    return network


def sizes_of(rows: str) -> tuple[tuple[int, int], ...]:
    """Heights and widths of views by their rows; raises argparse.ArgumentTypeError for what the network can't take.

    >>> sizes_of("256,448")
    ((256, 448), (448, 784))
    """
    heights = [int(one) if one.isdecimal() else 0 for one in rows.split(",")]
    if any(height % (4 * STEP) or height <= 0 for height in heights):
        raise argparse.ArgumentTypeError(f"rows must be multiples of {4 * STEP}, as 256,448, not {rows}")
    return tuple((height, height * 7 // 4) for height in heights)


def main() -> None:
    """Train and write float16 weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("start", type=Path, help="EfficientNet-Lite0's .pth, or .safetensors of this network")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--rows", type=sizes_of, default=SIZES, help="of the views, as 256,320,448")
    parser.add_argument("--fold", type=Fold.read, help="K/N: keep every Nth picture out, too")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = read_state(args.start) if args.start.suffix == ".safetensors" else read_start(args.start)
    plan = Plan(args.seconds, args.batch, args.seed, args.rate, args.rows)
    network = train(load(args.pack, device, args.fold), start, plan)
    save_file({name: value.half().cpu().contiguous() for name, value in network.state_dict().items()}, args.out)
    print(f"{sum(p.numel() for p in network.parameters())} parameters to {args.out}")


if __name__ == "__main__":
    main()
