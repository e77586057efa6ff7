"""Judge how pocket reads: phrasings held out of training, strangers' own, and harder prompts, by text alone.

``python -m pipeline.pocket.judge_text [--weights FILE]``. A phrasing is *met* when what it names was read (the
camera's move, or the effect), and *exact* when nothing else was read besides. Of the harder prompts (negations, what
pocket can't do, distractors, word order: ``readings.toml``) only the exact reading is right.
"""

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch

from pipeline import weights
from pipeline.factory import POCKET_WEIGHTS
from pipeline.pocket.hearing import hear
from pipeline.pocket.intents import CAMERAS, NAMED, Asked, read
from pipeline.pocket.language import HELD_OUT
from pipeline.pocket.network import PocketConfig, PocketNetwork
from pipeline.pocket.readings import Reading, readings
from pipeline.pocket.tokens import tokenizer

STRANGERS = Path(__file__).with_name("strangers.toml")


def strangers() -> dict[str, tuple[str, ...]]:
    """Phrasings by class, written by one who had seen neither the training phrasings nor the held-out ones."""
    return {k: tuple(v) for k, v in tomllib.loads(STRANGERS.read_text(encoding="utf-8"))["strangers"].items()}


def met(name: str, asked: Asked) -> torch.Tensor:
    """Whether each prompt was read as its class, ``bool [B]``; others read besides do not count against it."""
    if name in NAMED:
        return asked.present[:, NAMED.index(name)]
    return asked.camera == CAMERAS.index(name)


def exact(name: str, asked: Asked) -> torch.Tensor:
    """Whether nothing but the class was read, ``bool [B]``."""
    others = asked.present.clone()
    if name in NAMED:
        others[:, NAMED.index(name)] = False
        return met(name, asked) & ~others.any(1) & (asked.camera == CAMERAS.index("none"))
    return met(name, asked) & ~others.any(1)


def table(network: PocketNetwork, phrasings: Mapping[str, Sequence[str]]) -> str:
    """A Markdown table by class with what was misread."""
    encode = tokenizer(network.config.text.length)
    rows: list[str] = []
    total = hits = clean = 0
    for name, some in sorted(phrasings.items()):
        ids = torch.stack([torch.from_numpy(encode(text)) for text in some])
        with torch.inference_mode():
            asked = read(network.text(ids)[0])
        right, alone = met(name, asked), exact(name, asked)
        total, hits, clean = total + len(some), hits + int(right.sum()), clean + int(alone.sum())
        missed = "; ".join(text for text, ok in zip(some, right.tolist(), strict=True) if not ok)
        rows.append(f"| {name} | {int(right.sum())}/{len(some)} | {int(alone.sum())}/{len(some)} | {missed} |")
    head = f"met {hits}/{total} = {hits / total:.3f}, exact {clean}/{total} = {clean / total:.3f}"
    return "\n".join([head, "", "| class | met | exact | not met |", "|---|---|---|---|", *rows])


def names(asked: Asked) -> list[tuple[str, frozenset[str]]]:
    """Camera and effects of each prompt by name."""
    effects = [frozenset(e for e, here in zip(NAMED, row, strict=True) if here) for row in asked.present.tolist()]
    return list(zip((CAMERAS[index] for index in asked.camera.tolist()), effects, strict=True))


def is_told(beyond: str, ignored: Sequence[str]) -> bool:
    """Whether the parts said to be ignored are the one that is beyond pocket: half of the words of both at least.

    >>> is_told("add a dog", ["a dog"]), is_told("add a dog", ["add a dog and pan left, quickly"]), is_told("", [])
    (True, False, True)
    """
    right, told = set(beyond.lower().split()), {word for part in ignored for word in part.lower().split()}
    return right == told or len(right & told) >= 0.5 * len(right | told)


@dataclass(frozen=True, slots=True)
class Mark:
    """Whether a prompt was read exactly, and told of rightly; and what it was read as."""

    read: bool
    told: bool
    read_as: str


def marks(network: PocketNetwork, some: Sequence[Reading]) -> list[Mark]:
    """Mark each of some harder prompts."""
    encode = tokenizer(network.config.text.length)
    marked: list[Mark] = []
    for reading in some:
        with torch.inference_mode():
            asked, told_of = hear(reading.text, lambda text: network.read_text(torch.from_numpy(encode(text))[None]))
        ((camera, effects),) = names(asked)
        ignored = told_of.ignored
        read_as = " ".join([camera, *sorted(effects)]) + (f", ignores {'; '.join(ignored)}" if ignored else "")
        marked.append(Mark(reading.is_right(camera, effects), is_told(reading.beyond, ignored), read_as))
    return marked


def readings_table(network: PocketNetwork, kinds: Mapping[str, Sequence[Reading]]) -> str:
    """A Markdown table by kind of how many prompts were read exactly and told of rightly, with what was misread."""
    rows: list[str] = []
    sections: dict[str, list[Mark]] = {}
    for kind, some in kinds.items():
        marked = marks(network, some)
        sections.setdefault(kind.partition("/")[0], []).extend(marked)
        wrong = [
            f"“{reading.text}” → {mark.read_as}"
            for reading, mark in zip(some, marked, strict=True)
            if not mark.read or not (mark.told or not reading.beyond)
        ]
        read_, told = sum(mark.read for mark in marked), sum(mark.told for mark in marked)
        rows.append(f"| {kind} | {read_}/{len(some)} | {told}/{len(some)} | {'; '.join(wrong)} |")
    head = [
        f"{name} read {mean(m.read for m in some):.3f}, told {mean(m.told for m in some):.3f} of {len(some)}"
        for name, some in sections.items()
    ]
    return "\n".join(["; ".join(head), "", "| kind | read | told | wrong |", "|---|---|---|---|", *rows])


def shares(file: Path) -> dict[str, dict[str, tuple[int, int]]]:
    """Of weights: how many prompts of each list of harder ones are read exactly, of how many, by kind and list."""
    network = loaded(file)
    told: dict[str, dict[str, tuple[int, int]]] = {}
    for section, some in _by_section(readings()).items():
        kind, _, number = section.partition("_")
        told.setdefault(kind, {})[number or "1"] = sum(mark.read for mark in marks(network, some)), len(some)
    return told


def _by_section(kinds: Mapping[str, Sequence[Reading]]) -> dict[str, list[Reading]]:
    sections: dict[str, list[Reading]] = {}
    for kind, some in kinds.items():
        sections.setdefault(kind.partition("/")[0], []).extend(some)
    return sections


def loaded(file: Path) -> PocketNetwork:
    """The network with these weights, on the CPU."""
    network = PocketNetwork(PocketConfig()).eval()
    weights.load(network, file, torch.float32)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=POCKET_WEIGHTS)
    args = parser.parse_args()
    network = loaded(args.weights)
    print("### Held-out phrasings\n\n" + table(network, HELD_OUT))
    print("\n### Strangers' phrasings\n\n" + table(network, strangers()))
    print("\n### Negation, beyond pocket's power, distractors, word order\n\n" + readings_table(network, readings()))


if __name__ == "__main__":
    main()
