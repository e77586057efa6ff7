"""Embedded prompts, remembered."""

from collections import OrderedDict

from torch import Tensor

from pipeline.wan.parts import EncodesText

KEPT = 64


class Texts:
    """Embeds a prompt the first time that it is asked for; the last :data:`KEPT` are remembered, 4 MB each at most."""

    def __init__(self, encode: EncodesText) -> None:
        self._encode = encode
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, prompt: str) -> Tensor:
        """Give ``[1, S, text_dim]``."""
        if prompt not in self._known:
            self._known[prompt] = self._encode(prompt)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(prompt)
        return self._known[prompt]
