"""How far a long run is: a bar on a terminal, plain lines in a log."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from pipeline.types import Chunk

_REDRAW_S = 0.1
_BAR = 24


class ProgressBar:
    """Tells of items, each of so many frames; ``clock`` gives seconds."""

    def __init__(self, items: int, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._items, self._out, self._clock = items, out, clock
        self._is_terminal = out.isatty()
        self._item = 0
        self._name = ""
        self._frames = self._done = 0
        self._made, self._busy_s = 0, 0.0
        self._begun = self._drawn = 0.0

    def begin(self, name: str, frames: int) -> None:
        """Turn to the next item."""
        self._item += 1
        self._name, self._frames, self._done = name, frames, 0
        self._begun, self._drawn = self._clock(), 0.0
        self._draw()

    def advance(self, frames: int) -> None:
        """Count frames of this item."""
        self._done += frames
        if self._clock() - self._drawn >= _REDRAW_S or self._done == self._frames:
            self._draw()

    def counted(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Pass chunks on, and count their frames once they are used."""
        for chunk in chunks:
            yield chunk
            self.advance(len(chunk.frames))

    def end(self, outcome: str) -> None:
        """Leave the item with a line that stays."""
        seconds = self._clock() - self._begun
        speed = ""
        if self._done:
            self._made, self._busy_s = self._made + self._done, self._busy_s + seconds
            speed = f", {self._done} frames in {seconds:.1f} s"
        self.clear()
        print(f"[{self._item}/{self._items}] {self._name}: {outcome}{speed}", file=self._out, flush=True)

    def clear(self) -> None:
        """Take the bar away."""
        if self._is_terminal:
            print("\r\x1b[K", end="", file=self._out, flush=True)

    def _draw(self) -> None:
        if not self._is_terminal:
            return
        self._drawn = self._clock()
        filled = _BAR * self._done // self._frames
        made, busy_s = self._made + self._done, self._busy_s + self._drawn - self._begun
        pace = ""
        if made and busy_s > 0:
            left = self._frames - self._done + (self._items - self._item) * self._frames
            pace = f"  {made / busy_s:.1f} frames/s  {describe(left * busy_s / made)} left"
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] item {self._item} of {self._items}"
        line = f"{bar}  frame {self._done} of {self._frames}{pace}"
        # One column less than there is: a full last column would begin a new line on some terminals.
        print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", file=self._out, flush=True)


def describe(seconds: float) -> str:
    """Write a time as people do.

    >>> describe(75.4), describe(3700)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
