"""How soon a new camera move is seen: ``python -m stream.camera_bench URL [--changes N] [--codec vp8]``.

Lets the camera pan left, hold still, pan right and so on while the video plays, measures in the received frames how far
each moved beyond the one before, and prints a Markdown row: how soon the first frame of a change came, and how soon the
picture moved at half the speed of a pan that was asked of a camera at rest. For a model that does as it is told, as
pocket does.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stream.client import draw_picture
from stream.client_director import CODECS, Director, DirectorError, ReceivedFrame
from stream.client_report import Delays, delays

Plane = npt.NDArray[np.float32]

STILL = "the camera holds still"
PROMPTS = ("the camera pans left", STILL, "the camera pans right", STILL)
# pocket's camera turns by itself after three seconds, so a change comes before; its speed is known a second after.
INTERVAL_S = 2.2
SETTLED_S = (1.0, 1.9)
GOLDEN = 0.618034
HALVED = 2
COLUMNS = ("changes", "first frame ms, p50", "p95", "half of the new speed ms, p50", "p95", "most", "not seen")


@dataclass(frozen=True, slots=True)
class Moved:
    """A frame's arrival in seconds of the event loop, and its pixels to the left beyond the frame before, a second."""

    at: float
    speed: float


def luma(frame: ReceivedFrame) -> Plane:
    """Give a frame's brightness at half its size, ``float32 [H/2, W/2]``, 0..255."""
    plane = frame.picture.planes[0]
    whole = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    height, width = whole.shape[0] // HALVED * HALVED, whole.shape[1] // HALVED * HALVED
    parts = whole[:height, :width].reshape(height // HALVED, HALVED, width // HALVED, HALVED)
    return parts.mean((1, 3), dtype=np.float32)


def shift(before: Plane, after: Plane) -> float:
    """Give by how many pixels the picture moved to the left, a fraction too, by phase correlation.

    >>> picture = np.random.default_rng(0).random((64, 96), np.float32)
    >>> round(shift(picture, np.roll(picture, -3, 1)), 1)
    3.0
    """
    height, width = before.shape
    window = np.hanning(height)[:, None] * np.hanning(width)[None]
    spectra = [np.fft.rfft2((plane - plane.mean()) * window) for plane in (before, after)]
    product = spectra[0] * spectra[1].conj()
    # The highest frequencies of decoded video are the encoder's more than the picture's.
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    found = np.fft.irfft2(product / (np.abs(product) + 1e-9) * np.exp(-((frequency / 0.15) ** 2)), before.shape)
    row, column = np.unravel_index(found.argmax(), found.shape)
    left, peak, right = (found[row, (column + step) % width] for step in (-1, 0, 1))
    # The peak is a Gaussian, for which three logarithms give its middle.
    logs = np.log(np.maximum([left, peak, right], 1e-12))
    column = column + (logs[0] - logs[2]) / (2 * (logs[0] - 2 * logs[1] + logs[2]))
    return float((column + width / 2) % width - width / 2)


def half_speed(moves: Sequence[Moved], sent: float) -> float | None:
    """Give the seconds from a command until the picture moves at half the speed that it comes to; None if never.

    A single frame that moved so far does not count: the next one must have, too.

    >>> moves = [Moved(0.2, 9), Moved(0.3, -1), Moved(0.4, 3), Moved(1.2, 4), Moved(1.4, 4)]
    >>> half_speed(moves, sent=0.1)
    0.3
    """
    begin, end = SETTLED_S
    settled = [move.speed for move in moves if sent + begin <= move.at <= sent + end]
    if not settled:
        return None
    speed = float(np.median(settled))
    if speed == 0:
        return None
    after = [move for move in moves if move.at > sent]
    reached = (
        move.at for move, following in pairwise(after) if min(move.speed / speed, following.speed / speed) >= 0.5
    )
    return next((round(at - sent, 6) for at in reached), None)


class Camera:
    """Notes how the picture of each frame has moved."""

    def __init__(self) -> None:
        self.planes: list[tuple[float, int, Plane]] = []

    def note(self, frame: ReceivedFrame) -> None:
        """Keep a frame's brightness, and when its last packet came."""
        self.planes.append((frame.arrived, frame.rtp_timestamp, luma(frame)))

    def moves(self) -> list[Moved]:
        """Compare each frame with the one before."""
        return [
            Moved(at, HALVED * shift(earlier, later) * 90_000 / max(1, stamp - stamp_before))
            for (_, stamp_before, earlier), (at, stamp, later) in pairwise(self.planes)
        ]


def prompt(number: int) -> str:
    """Give what is asked at a change, from 0 on."""
    return PROMPTS[number % len(PROMPTS)]


async def measure(url: str, changes: int, codecs: Sequence[str]) -> tuple[Delays, Delays, int]:
    """Turn the camera; give first frames, half speeds, and how many of these were not seen. Raises DirectorError."""
    camera, sent = Camera(), list[int]()
    async with Director(url, codecs=codecs, on_frame=camera.note) as director:
        welcome = await director.connect()
        width, height = welcome["capabilities"]["sizes"][0]
        await director.upload(await asyncio.to_thread(draw_picture, width, height), "image/jpeg")
        await director.set_prompt(STILL)
        try:
            at = (await director.start(seed=1)).arrived + INTERVAL_S
            for number in range(changes):
                await director.stay(at)
                sent.append(await director.set_prompt(prompt(number)))
                at += INTERVAL_S + (number * GOLDEN) % 1 / 4
            await director.stay(at)
            applied = [await director.wait_applied(number) for number in sent]
        finally:
            await director.end()
    moves = await asyncio.to_thread(camera.moves)
    half = [half_speed(moves, change.sent) for number, change in enumerate(applied) if prompt(number) != STILL]
    seen = [seconds for seconds in half if seconds is not None]
    return delays([change.arrived - change.sent for change in applied]), delays(seen), len(half) - len(seen)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m stream.camera_bench", description=__doc__)
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--changes", type=int, default=20, help="of the prompt (default: %(default)s)")
    parser.add_argument("--codec", choices=("h264", "vp8"), help="offer this one alone")
    given = parser.parse_args(words)
    codecs = (given.codec.upper(),) if given.codec else CODECS
    try:
        first, half, unseen = asyncio.run(measure(given.url, given.changes, codecs))
    except DirectorError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    cells = (given.changes, first.p50, first.p95, half.p50, half.p95, half.most, unseen)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n| {' | '.join(map(str, cells))} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
