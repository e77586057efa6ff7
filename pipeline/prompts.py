"""Prompts to token ids as the Wan family was trained on them: cleaned, in UMT5's vocabulary, with an end mark."""

import html
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import ftfy
import torch
from torch import Tensor

from pipeline.errors import WeightsError

MAX_TOKENS = 512
SPECIAL_IDS = {"<pad>": 0, "</s>": 1, "<unk>": 2}

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]
"""Texts to ids ``int64 [B, S]`` and their mask ``int64 [B, S]``: 1 for tokens, then 0. S is the longest text's."""


def clean(text: str) -> str:
    """Mend broken characters, resolve HTML entities, and make every run of white space one space.

    >>> clean(" caf\u00c3\u00a9  &amp;amp;\\n bar ")
    'caf\u00e9 & bar'
    """
    # Twice: texts from the web are often escaped twice.
    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", mended).strip()


def tokenizer(path: Path, max_tokens: int = MAX_TOKENS) -> Tokenize:
    """Load ``google/umt5-xxl/tokenizer.json`` and give a function from texts to ids.

    Texts are cleaned, an end mark is appended, and what goes beyond ``max_tokens`` is cut off before it. Raises
    WeightsError when the file is missing or is another model's.
    """
    # Imported here: it comes with transformers, which only who runs this model needs.
    from tokenizers import Tokenizer

    if not path.is_file():
        raise WeightsError(f"no tokenizer at {path}: fetch it with python -m pipeline.download")
    loaded = Tokenizer.from_str(_readable(path))
    loaded.no_padding()
    loaded.enable_truncation(max_tokens)
    ids = {token: loaded.token_to_id(token) for token in SPECIAL_IDS}
    if ids != SPECIAL_IDS or loaded.encode("").ids != [SPECIAL_IDS["</s>"]]:
        raise WeightsError(f"{path} is not UMT5's tokenizer: it must have {SPECIAL_IDS} and end texts with </s>")

    def tokenize(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        encoded = [encoding.ids for encoding in loaded.encode_batch([clean(text) for text in texts])]
        longest = max(map(len, encoded))
        padded = [row + [SPECIAL_IDS["<pad>"]] * (longest - len(row)) for row in encoded]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in encoded]
        return torch.tensor(padded), torch.tensor(mask)

    return tokenize


def _readable(path: Path) -> str:
    """Read a tokenizer's file, having looked at its form: the library raises a bare Exception at a wrong one."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except ValueError as error:
        raise WeightsError(f"{path} is damaged ({error}): fetch it again with python -m pipeline.download") from error
    if not isinstance(content, dict) or "vocab" not in content.get("model", {}):
        raise WeightsError(f"{path} is not UMT5's tokenizer: it holds no vocabulary")
    return text
