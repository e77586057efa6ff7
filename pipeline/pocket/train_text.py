"""Teach the text encoder to read prompts: text alone, on a CPU, in some minutes.

``python -m pipeline.pocket.train_text TEXTS.npz WORDS.npz OUT.safetensors --seconds 600 [--resume FILE]``
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.networks.text_words import TextEncoder
from pipeline.pocket.data import Prompts, load_prompts
from pipeline.pocket.intents import Asked, dense, read, reading_loss
from pipeline.pocket.language import HELD_OUT
from pipeline.pocket.network import PocketConfig

SEED = 20261127
NEIGHBOURS = 6
ROLE_WEIGHT = 1.0
# Batches are cut from so many prompts at a time, sorted by length, so that little of a batch is padding.
SORTED = 16


def neighbours(encoder: TextEncoder, used: Tensor) -> Tensor:
    """The nearest other tokens in the word table of every token that prompts use, ``int64 [V, NEIGHBOURS]``."""
    rows = nn.functional.normalize(encoder.words(torch.arange(encoder.config.vocabulary)), dim=1)
    out = torch.arange(encoder.config.vocabulary)[:, None].repeat(1, NEIGHBOURS)
    for part in used.split(512):
        out[part] = (rows[part] @ rows.T).topk(NEIGHBOURS + 1).indices[:, 1:]
    return out


def blurred(encoder: TextEncoder, ids: Tensor, near: Tensor) -> Tensor:
    """Word rows as a stranger's wording would give them: neighbours for some words, noise, a few words missing."""
    swap = (torch.rand(ids.shape) < 0.12) & (torch.rand(len(ids), 1) < 0.6) & (ids != 0)
    other = near[ids].gather(-1, torch.randint(NEIGHBOURS, (*ids.shape, 1)))[..., 0]
    words = encoder.words(torch.where(swap, other, ids))
    words = words + 0.3 * torch.randn_like(words) * (torch.rand(len(ids), 1, 1) < 0.5)
    return words.masked_fill((torch.rand(ids.shape) < 0.02)[..., None], 0.0)


def agreement(made: Asked, right: Asked) -> Tensor:
    """Whether camera and effects were read right, ``bool [B]``; speeds, strengths and places not counted."""
    return (made.camera == right.camera) & (made.present == right.present).all(1)


def judge(encoder: nn.Module, held: Prompts, held_class: Tensor) -> str:
    """Share of held-out phrasings read right, in all and by class, as rows of a table."""
    encoder.eval()
    with torch.inference_mode():
        right = agreement(read(encoder(held.ids)[0]), dense(held.intents)).float()
    rows = [("all", right)]
    rows += [(name, right[held_class == index]) for index, name in enumerate(sorted(HELD_OUT))]
    return "\n".join(f"| {name} | {some.mean():.3f} | {len(some)} |" for name, some in rows)


def batches(ids: Tensor, size: int) -> Iterator[Tensor]:
    """Rows of prompts of about one length, for ever, in random order."""
    lengths = (ids != 0).sum(1)
    while True:
        some = torch.randint(len(ids), (SORTED * size,))
        parts = some[lengths[some].argsort()].split(size)
        yield from (parts[index] for index in torch.randperm(len(parts)).tolist())


def lesson_loss(encoder: TextEncoder, ids: Tensor, roles: Tensor, asked: Asked, near: Tensor) -> Tensor:
    """Loss of a batch: what is asked for, and what each token does in it."""
    length = int((ids != 0).sum(1).max().clamp(min=1))
    ids, roles = ids[:, :length], roles[:, :length]
    logits, parts = encoder(ids, blurred(encoder, ids, near))
    by_role = nn.functional.cross_entropy(parts.flatten(0, 1), roles.flatten(), ignore_index=-1)
    return reading_loss(logits, asked) + ROLE_WEIGHT * by_role


def make_encoder(words: Path, resume: Path | None) -> TextEncoder:
    """A text encoder with its word table, new or as it was left."""
    encoder = TextEncoder(PocketConfig().text)
    with np.load(words) as table:
        encoder.table.copy_(torch.from_numpy(table["table"]))
        encoder.table_scale.copy_(torch.from_numpy(table["scale"]))
    if resume:
        encoder.load_state_dict(load_file(resume))
    for part in encoder.layers.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.1
    return encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("words", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    encoder = make_encoder(args.words, args.resume)
    train, held, held_class = load_prompts(args.texts, torch.device("cpu"))
    with np.load(args.texts) as texts:
        roles = torch.from_numpy(texts["train_prompts_roles"]).long()
    right, near = dense(train.intents), neighbours(encoder, train.ids.unique())
    optimiser = torch.optim.AdamW(encoder.parameters(), args.rate, betas=(0.9, 0.98), weight_decay=0.05)
    mean = torch.optim.swa_utils.AveragedModel(encoder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    begun = shown = time.monotonic()
    for step, rows in enumerate(batches(train.ids, args.batch)):
        if (now := time.monotonic()) - begun > args.seconds:
            print(f"{step} steps\n{judge(mean.module, held, held_class)}")
            break
        loss = lesson_loss(encoder, train.ids[rows], roles[rows], right[rows], near)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1, (step + 1) / 100) * max(0.02, 1 - (now - begun) / args.seconds)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        mean.update_parameters(encoder)
        if now - shown > 60:
            shown = now
            told = judge(mean.module, held, held_class).splitlines()[0]
            print(f"{now - begun:.0f} s step {step} loss {loss.item():.3f} {told}", flush=True)
            save_file(mean.module.state_dict(), args.out)
    save_file(mean.module.state_dict(), args.out)


if __name__ == "__main__":
    main()
