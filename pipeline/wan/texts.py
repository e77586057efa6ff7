"""Embedded prompts, remembered, mixed and compared."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import combinations
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.travel import Said
from pipeline.wan.parts import EncodesText

KEPT = 64
UNLIKE = 4
"""How many of a model's examples are compared with one another."""
FAR = 0.5
"""The share of the distance between unlike prompts from which one is far from another.

An encoder's distances have a scale of their own, so they are held against those between examples that have nothing in
common; that a half parts an addition from another scene was not tried with trained weights.
"""


class Texts:
    """Embeds a prompt the first time that it is asked for; the last :data:`KEPT` are remembered, 4 MB each at most.

    ``unlike`` are prompts that have nothing in common.
    """

    def __init__(self, encode: EncodesText, unlike: Sequence[str] = ()) -> None:
        self._encode, self._unlike = encode, unlike[:UNLIKE]
        self._known: OrderedDict[str, Tensor] = OrderedDict()
        self._far: float | None = None

    def __call__(self, prompt: str) -> Tensor:
        """Give ``[1, S, text_dim]``."""
        if prompt not in self._known:
            self._known[prompt] = self._encode(prompt)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(prompt)
        return self._known[prompt]

    def mixed(self, said: Said) -> Tensor:
        """Give what is said, ``[1, S, text_dim]``: several prompts' rows by their shares, zeros behind the shorter."""
        if len(said) == 1:
            return self(said[0][0])
        texts = [self(prompt) for prompt, _ in said]
        longest = max(text.shape[1] for text in texts)
        parts = (
            F.pad(text.float(), (0, 0, 0, longest - text.shape[1])) * share
            for text, (_, share) in zip(texts, said, strict=True)
        )
        return torch.stack(list(parts)).sum(0).to(texts[0].dtype)

    def distance(self, one: str, other: str) -> float:
        """Tell how far two prompts are apart, 0 to 2: one less the cosine of their mean rows."""
        means = (self(prompt)[0].float().mean(0) for prompt in (one, other))
        return 1 - F.cosine_similarity(*means, dim=0).item()

    def is_far(self, one: str, other: str) -> bool:
        """Whether two prompts are so far apart that they ask for different scenes."""
        return self.distance(one, other) > self.calibrate()

    def calibrate(self) -> float:
        """Give the distance from which prompts are far apart; the first time it is found out."""
        if self._far is None:
            self._far = FAR * median([self.distance(*pair) for pair in combinations(self._unlike, 2)] or [0.0])
        return self._far
