"""How busy one model is, by measurement: which share of its time each of its streams takes."""

import math

_MEMORY_S = 5.0


class Load:
    """Shares of one model's time, each an average over the last seconds that forgets exponentially.

    ``expected`` is the share that one stream more would take; a stream counts as that until it is measured. One that
    is asked for nothing, because it is paused, fades out. ``now`` is in seconds of any clock that only goes forward.

    >>> load = Load(0.5)
    >>> load.opened("a", 0.0)
    >>> load.total(0.0)
    0.5
    >>> for chunk in range(1, 101):
    ...     load.spent("a", 0.05, chunk * 0.25)
    >>> round(load.total(25.0), 1)
    0.2
    >>> round(load.total(60.0), 3)
    0.0
    """

    def __init__(self, expected: float) -> None:
        self.expected = expected
        self._shares: dict[str, tuple[float, float]] = {}

    @property
    def streams(self) -> int:
        """How many streams are held."""
        return len(self._shares)

    def opened(self, stream_id: str, now: float) -> None:
        """Take in a stream that was placed here, or placed here again."""
        self._shares[stream_id] = (self.expected, now)

    def closed(self, stream_id: str) -> None:
        """Leave a stream out; idempotent."""
        self._shares.pop(stream_id, None)

    def spent(self, stream_id: str, seconds: float, now: float) -> None:
        """Take in the seconds that one call took; does nothing for a stream that is not held."""
        if stream_id in self._shares:
            self._shares[stream_id] = (self._faded(stream_id, now) + seconds / _MEMORY_S, now)

    def total(self, now: float) -> float:
        """Give the share of its time that the model is busy; 1 is all of it."""
        return sum(self._faded(stream_id, now) for stream_id in self._shares)

    def _faded(self, stream_id: str, now: float) -> float:
        share, then = self._shares[stream_id]
        return share * math.exp((then - now) / _MEMORY_S)
