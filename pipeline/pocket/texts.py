"""What prompts mean, encoded for the transformer, and remembered."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from pipeline.pocket.backdrop import heard_behind, read_behind
from pipeline.pocket.hearing import hear
from pipeline.pocket.network import PocketNetwork, Text
from pipeline.types import Heard

REMEMBERED = 64


class Texts:
    """Encodes prompts; the ones asked for last are not read again."""

    def __init__(self, network: PocketNetwork, tokenize: Callable[[str], Tensor]) -> None:
        self._network, self._tokenize = network, tokenize
        self._known: OrderedDict[str, tuple[Text, Heard]] = OrderedDict()

    def __call__(self, prompt: str) -> tuple[Text, Heard]:
        """Encode a prompt, or remember it; with what was understood of it."""
        if prompt not in self._known:
            self._known[prompt] = self._read(prompt)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(prompt)
        return self._known[prompt]

    def _read(self, prompt: str) -> tuple[Text, Heard]:
        network, device = self._network, self._network.position.device
        words, is_behind = read_behind(prompt)
        asked, told = hear(words, lambda text: network.read_text(self._tokenize(text).to(device)))
        text = replace(network.encode_asked(asked), asked=asked.on_host(), is_behind=is_behind)
        return text, heard_behind(told, prompt) if is_behind else told
