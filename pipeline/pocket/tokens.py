"""Text to the token ids that pocket reads, by the byte-pair tokenizer inside the open_clip package."""

from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Encode = Callable[[str], npt.NDArray[np.int64]]


def byte_pairs() -> Any:
    """Give open_clip's ``SimpleTokenizer``, without its models: those take 7 s of a CPU to import, this none.

    Raises ModuleNotFoundError where open_clip is not installed.
    """
    package = find_spec("open_clip")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("no open_clip, whose tokenizer reads prompts: pip install open_clip_torch")
    spec = spec_from_file_location("open_clip_tokenizer", Path(package.origin).with_name("tokenizer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


def tokenizer(length: int) -> Encode:
    """Give a function from text to ids ``int64 [length]``: no start or end marks, 0 behind the end.

    >>> tokenizer(4)("It rains!").tolist()
    [585, 14272, 256, 0]
    """
    encoder = byte_pairs()

    def encode(text: str) -> npt.NDArray[np.int64]:
        tokens = encoder.encode(text)[:length]
        return np.pad(np.asarray(tokens, np.int64), (0, length - len(tokens)))

    return encode
