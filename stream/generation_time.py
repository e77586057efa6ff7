"""How long a model takes for a chunk, learned from those that it made."""

from collections import deque
from collections.abc import Sequence

_WINDOW = 32
FADING = 0.8
"""What is left of a longest time with each that was shorter."""
OUTLIER = 1.75
"""How many times the median an estimate may be."""


class GenerationTime:
    """How long a chunk takes from the asking to the having, by quality: the 95th percentile of the last ones.

    ``expected`` is seconds by quality, which stand until enough was seen. ``reading_s`` is what the first chunk under a
    prompt takes beyond: the prompt is read then.
    """

    def __init__(self, expected: Sequence[float]) -> None:
        self._expected = expected
        self._seen = [deque[float](maxlen=_WINDOW) for _ in expected]
        # Until a prompt was read: on an H200 30 to 50 ms beside chunks of 180.
        self.reading_s = 0.15 * expected[0]
        self._saved = 0.5

    def observe(self, quality: int, seconds: float, reads: bool = False, made: float = 1.0) -> None:
        """Take in one chunk; ``reads``: it was the first under its prompt, ``made`` the share of its frames made."""
        seen = sorted(self._seen[quality])
        median = seen[len(seen) // 2] if seen else self._expected[quality]
        if reads and seen:
            beyond = seconds - self._part(median, made)
            self.reading_s = max(0.0, beyond, self.reading_s * FADING)
        elif made == 1:
            self._seen[quality].append(seconds)
        else:
            # A GPU that renders a latent at once saves nothing by fewer frames.
            saved = min(1.0, max(0.0, (1 - seconds / median) / (1 - made)))
            self._saved += (saved - self._saved) / 4

    def _part(self, seconds: float, made: float) -> float:
        return seconds * (1 - self._saved * (1 - made))

    def estimate(self, quality: int, made: float = 1.0) -> float:
        """Give the seconds in which 19 of 20 chunks are there, or those of which a share of the frames is made.

        >>> times = GenerationTime([0.5])
        >>> for number in range(1, 21):
        ...     times.observe(0, 0.5 + number / 100)
        >>> times.estimate(0)
        0.69
        >>> times.observe(0, 3.0)
        >>> times.estimate(0)
        0.7
        """
        seen = sorted(self._seen[quality])
        if len(seen) < 4:
            return self._part(max([self._expected[quality], *seen[: len(seen) // 2 + 1]]), made)
        # One chunk that took very long must not make every prompt of the next seconds late.
        return self._part(min(seen[(len(seen) * 19 + 19) // 20 - 1], OUTLIER * seen[len(seen) // 2]), made)
