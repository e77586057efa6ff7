"""Pack prompts to teach the text encoder with: token ids, what each token does, what is asked for.

``python -m pipeline.pocket.text_data WORDS.npz OUT.npz --wordnet DIR --lists DIR`` (Debian's ``wordnet-base`` and its
word lists: ``/usr/share/wordnet`` and ``/usr/share/dict``). A prompt that holds one to judge by is drawn again.
"""

import argparse
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.networks.text_words import TextConfig
from pipeline.pocket.data import encode_intents, held_prompts
from pipeline.pocket.judge_text import strangers
from pipeline.pocket.language import HELD_OUT, Prompt, sample
from pipeline.pocket.lexicon import Lexicon, from_dictionaries
from pipeline.pocket.readings import readings
from pipeline.pocket.roles import JOINING
from pipeline.pocket.thesaurus import synonyms
from pipeline.pocket.tokens import UNKNOWN, tokens, vocabulary

SEED = 20261129
# Prompts that are held as text at a time.
PART = 50_000


def judged_ids() -> tuple[str, ...]:
    """The token ids of every prompt that reading is judged by, as text of one character an id.

    Those of unknown words alone are left out: they are one and the same.
    """
    groups = [*HELD_OUT.values(), *strangers().values()]
    texts = [text for group in groups for text in group] + [r.text for some in readings().values() for r in some]
    made = (_as_text(text) for text in texts)
    return tuple(ids for ids in made if set(ids) != {chr(UNKNOWN)})


def draws(seed: int, lexicon: Lexicon) -> Callable[[], Prompt]:
    """Give a function that draws prompts, none of which holds one to judge by, slips of typing mended."""
    rng, kept = random.Random(seed), judged_ids()

    def draw() -> Prompt:
        while True:
            prompt = sample(rng, lexicon=lexicon)
            ids = _as_text(prompt.text)
            if not any(text in ids for text in kept):
                return prompt

    return draw


def _as_text(text: str) -> str:
    return "".join(chr(token.id) for token in tokens(text))


def encode(prompt: Prompt, length: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int8]]:
    """Ids ``uint16 [length]`` of a drawn prompt, and roles ``int8 [length]``: what joins parts, and padding, is -1."""
    ids, roles = np.zeros(length, np.uint16), np.full(length, -1, np.int8)
    for place, token in enumerate(tokens(prompt.text)[:length]):
        role = prompt.roles[token.begin]
        ids[place], roles[place] = token.id, -1 if role == JOINING else role
    return ids, roles


def pack(out: Path, prompts: int, lexicon: Lexicon) -> None:
    """Write prompts to train on and those held out, as :func:`pipeline.pocket.data.load_prompts` reads them."""
    draw = draws(SEED, lexicon)
    parts = [_columns(draw, min(PART, prompts - begin)) for begin in range(0, prompts, PART)]
    columns: dict[str, Any] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    np.savez_compressed(out, **columns, **held_prompts())


def _columns(draw: Callable[[], Prompt], count: int) -> dict[str, npt.NDArray[Any]]:
    train = [draw() for _ in range(count)]
    rows = [encode(prompt, TextConfig().length) for prompt in train]
    columns: dict[str, npt.NDArray[Any]] = {f"train_prompts_{key}": v for key, v in encode_intents(train).items()}
    columns["train_prompts_ids"] = np.stack([ids for ids, _ in rows])
    columns["train_prompts_roles"] = np.stack([roles for _, roles in rows])
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--wordnet", type=Path, required=True)
    parser.add_argument("--lists", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=200_000)
    args = parser.parse_args()
    with np.load(args.words) as file:
        table = file["table"].astype(np.float32) * file["scale"]
    lexicon = from_dictionaries(args.wordnet, args.lists, vocabulary().asking)
    pack(args.out, args.prompts, replace(lexicon, synonyms=synonyms(args.wordnet, table)))


if __name__ == "__main__":
    main()
