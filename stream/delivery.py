"""What a director chose of how a stream is delivered: frame rate, bitrate, latency."""

from fractions import Fraction

from stream.capacity import Capacity, Why
from stream.config import StreamConfig
from stream.protocol import Latency


class Delivery:
    """One stream's choice, clamped to what there is; the frame rate is a rung of the model's ladder."""

    def __init__(self, config: StreamConfig, capacity: Capacity) -> None:
        self._config, self._capacity = config, capacity
        self._rung = 0
        self.latency: Latency = config.latency
        self.bitrate_kbps = config.bitrate_kbps

    @property
    def quality(self) -> int:
        """Rung of the model's ladder that the next chunk is made at: the common one, or lower by wish."""
        return max(self._capacity.level, self._rung)

    @property
    def quality_why(self) -> Why | None:
        """Why that is not the best one; None where it is."""
        return "asked" if self._rung > self._capacity.level else self._capacity.why

    @property
    def buffer_s(self) -> float:
        """Seconds of video that are kept ahead."""
        return self._config.low_buffer_s if self.latency == "low" else self._config.smooth_buffer_s

    def choose_fps(self, fps: float) -> None:
        """Take the rung that is nearest."""
        rungs = self._capacity.rungs
        self._rung = min(range(len(rungs)), key=lambda rung: abs(rungs[rung].fps - Fraction(fps)))

    def clamped_kbps(self, bitrate_kbps: int) -> int:
        """Bring a bitrate within what the server allows."""
        return max(self._config.min_bitrate_kbps, min(self._config.max_bitrate_kbps, bitrate_kbps))

    def in_force(self) -> dict[str, float | int | str]:
        """Tell all three, as messages have them."""
        rate = self._capacity.rungs[self._rung].fps
        number = int(rate) if rate.denominator == 1 else round(float(rate), 3)
        return {"fps": number, "bitrate_kbps": self.bitrate_kbps, "latency": self.latency}
