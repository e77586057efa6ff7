"""The training set on the device: pictures with masks, prompts with meanings, as a few tensors.

``python -m pipeline.pocket.data PICTURES OUT.npz`` packs it (needs the ``dev`` extra); :func:`load` unpacks it.
"""

import argparse
import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pipeline.networks.text_words import TextConfig
from pipeline.pocket.intents import CAMERAS, NAMED, REGIONS, SLOTS, Intents
from pipeline.pocket.language import Prompt, held_out_prompts, sample
from pipeline.pocket.latents import GRID
from pipeline.pocket.network import PICTURE_SIZE
from pipeline.pocket.tokens import tokenizer

STORED = (224, 392)
MASK_STORED = (56, 98)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Token ids ``int64 [P, S]`` and what each prompt means."""

    ids: Tensor
    intents: Intents


@dataclass(frozen=True, slots=True)
class Dataset:
    """Everything in device memory; ``pictures uint8 [K, 3, 224, 392]``, ``masks uint8 [K, 4, 56, 98]``."""

    pictures: Tensor
    masks: Tensor
    held_pictures: Tensor
    held_masks: Tensor
    train: Prompts
    held: Prompts
    held_class: Tensor


def load(path: Path, device: torch.device) -> Dataset:
    """Read a pack into device memory."""
    with np.load(path) as pack:

        def pictures(name: str) -> Tensor:
            sizes, blob = pack[f"{name}_sizes"], pack[f"{name}_jpeg"].tobytes()
            ends = np.cumsum(sizes)
            decoded = [np.asarray(Image.open(io.BytesIO(blob[e - s : e]))) for s, e in zip(sizes, ends, strict=True)]
            return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).to(device)

        return Dataset(
            pictures("train"),
            torch.from_numpy(pack["train_masks"]).to(device),
            pictures("held"),
            torch.from_numpy(pack["held_masks"]).to(device),
            *load_prompts(path, device),
        )


def load_prompts(path: Path, device: torch.device) -> tuple[Prompts, Prompts, Tensor]:
    """Read a pack's prompts: trained on, held out, and the class of each of the latter."""
    with np.load(path) as pack:

        def prompts(name: str) -> Prompts:
            column = {key: torch.from_numpy(pack[f"{name}_{key}"].copy()).to(device) for key in PROMPT_KEYS}
            numbers = {k: v.float() if v.is_floating_point() else v.long() for k, v in column.items()}
            return Prompts(numbers.pop("ids"), Intents(**numbers))

        return prompts("train_prompts"), prompts("held_prompts"), torch.from_numpy(pack["held_class"]).to(device)


PROMPT_KEYS = ("ids", "camera", "camera_speed", "effect", "region", "strength", "speed")


def crops(pictures: Tensor, masks: Tensor, rows: Tensor, plain: bool = False) -> tuple[Tensor, Tensor]:
    """Cut random views: pictures ``float32 [n, 3, 128, 224]`` in -1..1 and masks ``float32 [n, 4, 32, 56]``.

    ``plain`` takes the whole picture without mirroring or change of colour, as evaluation does.
    """
    n, device = len(rows), pictures.device
    scale = torch.ones(n, device=device) if plain else 0.55 + 0.45 * torch.rand(n, device=device).sqrt()
    mirror = torch.ones(n, device=device) if plain else (torch.rand(n, device=device) < 0.5).float() * 2 - 1
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = scale * mirror, scale
    theta[:, :, 2] = (1 - scale)[:, None] * (2 * torch.rand(n, 2, device=device) - 1)
    image, mask = pictures[rows].float() / 255, masks[rows].float() / 255
    image = F.grid_sample(
        image, F.affine_grid(theta, [n, 3, *PICTURE_SIZE], align_corners=False), align_corners=False,
        padding_mode="reflection",
    )  # fmt: skip
    mask = F.grid_sample(
        mask, F.affine_grid(theta, [n, 4, *GRID], align_corners=False), align_corners=False, padding_mode="reflection"
    )
    if not plain:
        gamma = torch.exp(0.35 * torch.randn(n, 1, 1, 1, device=device))
        tint = torch.exp(0.12 * torch.randn(n, 3, 1, 1, device=device))
        grey = image.mean(1, keepdim=True)
        image = grey + (image - grey) * (0.3 + torch.rand(n, 1, 1, 1, device=device) * 1.1)
        image = (image.clamp(0.001, 1) ** gamma * tint).clamp(0, 1)
    return image * 2 - 1, mask


def encode_intents(prompts: list[Prompt]) -> dict[str, npt.NDArray[np.generic]]:
    """Meanings of :class:`pipeline.pocket.language.Prompt` values as columns of :class:`Intents`."""
    n = len(prompts)
    columns: dict[str, npt.NDArray[np.generic]] = {
        "camera": np.zeros(n, np.int8),
        "camera_speed": np.ones(n, np.float16),
        "effect": np.full((n, SLOTS), -1, np.int8),
        "region": np.zeros((n, SLOTS), np.int8),
        "strength": np.ones((n, SLOTS), np.float16),
        "speed": np.ones((n, SLOTS), np.float16),
    }
    for row, prompt in enumerate(prompts):
        intents = prompt.intents
        columns["camera"][row] = CAMERAS.index(intents.camera)
        columns["camera_speed"][row] = intents.speed
        for slot, effect in enumerate(intents.effects[:SLOTS]):
            columns["effect"][row, slot] = NAMED.index(effect.name)
            columns["region"][row, slot] = REGIONS.index(effect.region)
            columns["strength"][row, slot] = effect.strength
            columns["speed"][row, slot] = effect.speed
    return columns


def pack(pictures: Path, out: Path, seed: int = 20261123, drawings: int = 400, prompts: int = 150_000) -> None:
    """Pack photos, drawings and prompts into one file of about 25 MB."""
    columns: dict[str, Any] = {}
    for split, drawn in (("train", drawings), ("held", 16)):
        images, masks = _pictures(sorted((pictures / split).glob("*.jpg")), drawn, seed + (split == "held"))
        blobs = [_jpeg(image) for image in images]
        columns[f"{split}_sizes"] = np.array([len(b) for b in blobs])
        columns[f"{split}_jpeg"] = np.frombuffer(b"".join(blobs), np.uint8)
        columns[f"{split}_masks"] = np.stack(masks)
    np.savez_compressed(out, **columns, **prompt_columns(seed, prompts))


def prompt_columns(seed: int, count: int) -> dict[str, Any]:
    """Prompts to train on and those held out, as columns."""
    rng = random.Random(seed)
    train = [sample(rng) for _ in range(count)]
    return _columns("train_prompts", train) | held_prompts()


def held_prompts() -> dict[str, Any]:
    """The held-out prompts as columns, with the class of each."""
    held = [(index, p) for index, (_, some) in enumerate(sorted(held_out_prompts().items())) for p in some]
    classes = np.array([index for index, _ in held], np.int64)
    return _columns("held_prompts", [p for _, p in held]) | {"held_class": classes}


def _columns(name: str, some: list[Prompt]) -> dict[str, Any]:
    encode = tokenizer(TextConfig().length)
    ids = np.stack([encode(p.text) for p in some]).astype(np.uint16)
    return {f"{name}_ids": ids} | {f"{name}_{key}": value for key, value in encode_intents(some).items()}


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _pictures(
    files: list[Path], drawings: int, seed: int
) -> tuple[list[npt.NDArray[np.uint8]], list[npt.NDArray[np.uint8]]]:
    """Photos, cut once in the middle and, where they are not wide, twice more; and drawings with exact masks."""
    import cv2

    from pipeline.pocket.masks import guess
    from pipeline.pocket.scenes import draw

    rows, columns = STORED
    images: list[npt.NDArray[np.uint8]] = []
    masks: list[npt.NDArray[np.uint8]] = []
    for file in files:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        scale = max(rows / picture.height, columns / picture.width)
        size = (max(columns, round(picture.width * scale)), max(rows, round(picture.height * scale)))
        whole = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
        spare = max(size[0] - columns, size[1] - rows)
        for share in (0.5, 0.05, 0.95) if spare > 60 and len(files) > 60 else (0.5,):
            left, top = round((size[0] - columns) * share), round((size[1] - rows) * share)
            images.append(np.ascontiguousarray(whole[top : top + rows, left : left + columns]))
            masks.append(guess(images[-1]))
    rng = np.random.default_rng(seed)
    for _ in range(drawings):
        drawing = draw(rng, rows, columns)
        images.append(drawing.pixels)
        masks.append(drawing.masks)
    small = [np.stack([cv2.resize(m, MASK_STORED[::-1], interpolation=cv2.INTER_AREA) for m in four]) for four in masks]
    return images, small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    pack(args.pictures, args.out)


if __name__ == "__main__":
    main()
