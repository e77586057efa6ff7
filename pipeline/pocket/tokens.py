"""Text to the token ids that pocket reads, by the byte-pair tokenizer inside the open_clip package."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Encode = Callable[[str], npt.NDArray[np.int64]]


def tokenizer(length: int) -> Encode:
    """Give a function from text to ids ``int64 [length]``: no start or end marks, 0 behind the end.

    >>> tokenizer(4)("It rains!").tolist()
    [585, 14272, 256, 0]
    """
    # Imported here: open_clip takes seconds to import, and only who makes video needs it.
    from pipeline import torchvision_shim as torchvision_shim  # noqa: I001  must come before open_clip
    from open_clip.tokenizer import SimpleTokenizer

    encoder = SimpleTokenizer()

    def encode(text: str) -> npt.NDArray[np.int64]:
        tokens = encoder.encode(text)[:length]
        return np.pad(np.asarray(tokens, np.int64), (0, length - len(tokens)))

    return encode
