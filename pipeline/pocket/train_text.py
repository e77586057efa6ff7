"""Teach the text encoder to read prompts: text alone, in some minutes, on a GPU where there is one.

``python -m pipeline.pocket.train_text TEXTS.npz WORDS.npz OUT.safetensors --seconds 600 [--resume FILE]``

``--resume`` takes what this writes or a whole checkpoint of pocket, also of one that was taught fewer effects.
"""

import argparse
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.checkpoint import read_state
from pipeline.networks.text_words import TextEncoder
from pipeline.pocket.data import Prompts, load_prompts
from pipeline.pocket.intents import Asked, dense, read, reading_loss
from pipeline.pocket.language import HELD_OUT
from pipeline.pocket.network import PocketConfig
from pipeline.pocket.widen import ABSENT, widened

SEED = 20261127
NEIGHBOURS = 6
ROLE_WEIGHT = 1.0
# Batches are cut from so many prompts at a time, sorted by length, so that little of a batch is padding.
SORTED = 16
# Of the prompts so many are not trained on, to tell by how well such prompts are read.
KEPT_OUT = 2000


@dataclass(frozen=True, slots=True)
class Lessons:
    """Prompts with what is right for them and their tokens' roles; those kept out, and those held out by class."""

    prompts: Prompts
    right: Asked
    roles: Tensor
    kept: Prompts
    held: Prompts
    held_class: Tensor

    def told(self, encoder: nn.Module) -> str:
        """How well prompts are read that were not trained on."""
        kept, held = share_right(encoder, self.kept).mean(), share_right(encoder, self.held).mean()
        return f"kept out {kept:.4f} held-out phrasings {held:.3f}"


def lessons_of(texts: Path, device: torch.device) -> Lessons:
    """Read a pack into device memory; its last prompts are kept out."""
    train, held, held_class = load_prompts(texts, device)
    with np.load(texts) as file:
        roles = torch.from_numpy(file["train_prompts_roles"]).to(device).long()
    count = len(train.ids) - min(KEPT_OUT, len(train.ids) // 10)
    here, kept = torch.arange(len(train.ids), device=device).split([count, len(train.ids) - count])
    prompts = Prompts(train.ids[here], train.intents[here])
    return Lessons(
        prompts,
        dense(prompts.intents),
        roles[here],
        Prompts(train.ids[kept], train.intents[kept]),
        held,
        held_class,
    )


def neighbours(encoder: TextEncoder, used: Tensor) -> Tensor:
    """The nearest other tokens in the word table of every token that prompts use, ``int64 [V, NEIGHBOURS]``."""
    all_ids = torch.arange(encoder.config.vocabulary, device=used.device)
    rows = nn.functional.normalize(encoder.words(all_ids), dim=1)
    out = all_ids[:, None].repeat(1, NEIGHBOURS)
    for part in used.split(512):
        out[part] = (rows[part] @ rows.T).topk(NEIGHBOURS + 1).indices[:, 1:]
    return out


def blurred(encoder: TextEncoder, ids: Tensor, near: Tensor) -> Tensor:
    """Word rows as a stranger's wording would give them: neighbours for some words, noise, a few words missing."""
    size, device = ids.shape, ids.device
    some = torch.rand(len(ids), 1, device=device) < 0.6
    swap = (torch.rand(size, device=device) < 0.12) & some & (ids != 0)
    other = near[ids].gather(-1, torch.randint(NEIGHBOURS, (*size, 1), device=device))[..., 0]
    words = encoder.words(torch.where(swap, other, ids))
    words = words + 0.3 * torch.randn_like(words) * (torch.rand(len(ids), 1, 1, device=device) < 0.5)
    return words.masked_fill((torch.rand(size, device=device) < 0.02)[..., None], 0.0)


def agreement(made: Asked, right: Asked) -> Tensor:
    """Whether camera and effects were read right, ``bool [B]``; speeds, strengths and places not counted."""
    return (made.camera == right.camera) & (made.present == right.present).all(1)


def share_right(encoder: nn.Module, prompts: Prompts) -> Tensor:
    """For each prompt whether it is read right, ``float32 [P]`` of 0 and 1."""
    encoder.eval()
    with torch.inference_mode():
        return agreement(read(encoder(prompts.ids)[0]), dense(prompts.intents)).float()


def judge(encoder: nn.Module, held: Prompts, held_class: Tensor) -> str:
    """Share of held-out phrasings read right, in all and by class, as rows of a table."""
    right = share_right(encoder, held)
    rows = [("all", right)]
    rows += [(name, right[held_class == index]) for index, name in enumerate(sorted(HELD_OUT))]
    return "\n".join(f"| {name} | {some.mean():.3f} | {len(some)} |" for name, some in rows)


def batches(ids: Tensor, size: int) -> Iterator[Tensor]:
    """Rows of prompts of about one length, for ever, in random order."""
    lengths = (ids != 0).sum(1)
    while True:
        some = torch.randint(len(ids), (SORTED * size,), device=ids.device)
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
        word_table = {"table": torch.from_numpy(table["table"]), "table_scale": torch.from_numpy(table["scale"])}
    encoder.load_state_dict((resumed(read_state(resume)) if resume else encoder.state_dict()) | word_table)
    for part in encoder.layers.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.1
    return encoder


def resumed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The text encoder's part of a checkpoint, or all of it, with room for every effect."""
    text = {name.removeprefix("text."): value for name, value in state.items() if name.startswith("text.")} or state
    head = {"head.2.weight": widened(text["head.2.weight"]), "head.2.bias": widened(text["head.2.bias"], ABSENT)}
    return text | head


def teach(encoder: TextEncoder, lessons: Lessons, out: Path, args: argparse.Namespace) -> nn.Module:
    """Train for ``args.seconds`` and give the running mean, which is written every minute; no step for 0 seconds."""
    device = lessons.prompts.ids.device
    near = neighbours(encoder, lessons.prompts.ids.unique())
    optimiser = torch.optim.AdamW(encoder.parameters(), args.rate, betas=(0.9, 0.98), weight_decay=0.05)
    mean = torch.optim.swa_utils.AveragedModel(encoder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    is_fast = device.type == "cuda"
    begun = shown = time.monotonic()
    for step, rows in enumerate(batches(lessons.prompts.ids, args.batch)):
        if (now := time.monotonic()) - begun >= args.seconds:
            print(f"{step} steps", flush=True)
            break
        for group in optimiser.param_groups:
            group["lr"] = args.rate * min(1, (step + 1) / 100) * max(0.02, 1 - (now - begun) / args.seconds)
        with torch.autocast("cuda", torch.bfloat16) if is_fast else contextlib.nullcontext():
            loss = lesson_loss(encoder, lessons.prompts.ids[rows], lessons.roles[rows], lessons.right[rows], near)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        mean.update_parameters(encoder)
        if now - shown > args.every:
            shown = now
            print(f"{now - begun:.0f} s step {step} loss {loss.item():.3f} {lessons.told(mean.module)}", flush=True)
            save_file(state_of(mean.module), out)
    return mean.module


def state_of(encoder: nn.Module) -> dict[str, Tensor]:
    """Its state on the host."""
    return {name: value.cpu().contiguous() for name, value in encoder.state_dict().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path)
    parser.add_argument("words", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--every", type=float, default=30, help="seconds between two lines of the log")
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = make_encoder(args.words, args.resume).to(device)
    lessons = lessons_of(args.texts, device)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    taught = teach(encoder, lessons, args.out, args)
    print(f"{lessons.told(taught)}\n{judge(taught, lessons.held, lessons.held_class)}")
    save_file(state_of(taught), args.out)


if __name__ == "__main__":
    main()
