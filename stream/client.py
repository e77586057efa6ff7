"""A director without a browser, which measures what it sees: ``python -m stream.client URL``.

Uploads a picture, starts a stream, changes the prompt, and prints how soon and how evenly the video came.
As a library: :class:`Director`.
"""

import argparse
import asyncio
import contextlib
import io
import json
import math
import mimetypes
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

from av.error import FFmpegError
from PIL import Image

from stream.client_director import (
    CODECS,
    Applied,
    Director,
    DirectorError,
    Message,
    ReceivedFrame,
    Refused,
)
from stream.client_recorder import Recorder
from stream.client_report import Report, capacity, make_report, table
from stream.encoder_bench import draw_photo

__all__ = ["Applied", "Director", "DirectorError", "Message", "ReceivedFrame", "Refused", "main", "measure"]

SHOWN, FAILED, MISUSED = 0, 1, 2
SECONDS = 10.0
CHANGE_INTERVAL_S = 2.0
QUICKEST_CHANGE_S = 1.2
# From the last letter to the key that sends it.
TYPED_S = 0.4
# Steps of the golden ratio fall evenly between each other, so changes meet chunks at every phase.
GOLDEN = 0.618034
# Only what the encoder of the file plans with; frames keep their own times.
RECORDED_FPS = Fraction(16)


@dataclass(frozen=True, slots=True)
class Plan:
    """What each director does: how long, with which picture (None draws one), and the prompts.

    ``prompts`` are (seconds after the first frame, text), 0 or less meaning before the start; ``changes`` more
    are taken from the server's examples. ``codecs`` are offered in this order. ``seed`` None lets the server
    choose. ``is_typed`` has each prompt read a moment before it is set, as the page does while one types.
    ``wait_s`` passes between the picture and the start, as while a first prompt is written.
    """

    seconds: float = SECONDS
    picture: bytes | None = None
    mime: str = "image/jpeg"
    prompts: tuple[tuple[float, str], ...] = ()
    changes: int = 0
    codecs: tuple[str, ...] = CODECS
    token: str = ""
    seed: int | None = None
    is_typed: bool = False
    wait_s: float = 0.0

    def schedule(self, examples: Sequence[str]) -> list[tuple[float, str]]:
        """Give the prompts that come while the video plays, in order, those from the examples with them.

        >>> [at for at, _ in Plan(seconds=4, changes=3).schedule(["snow"])]
        [1.0, 2.309017, 3.118034]
        """
        interval = self.seconds / (self.changes + 1)
        times = [interval * (number + 1 + (number * GOLDEN) % 1 / 2) for number in range(self.changes)]
        cycled = [(round(at, 6), examples[number % len(examples)]) for number, at in enumerate(times) if examples]
        return sorted([prompt for prompt in self.prompts if prompt[0] > 0] + cycled)


async def direct(director: Director, plan: Plan) -> Report:
    """Carry the plan out on a new stream and report it.

    Raises DirectorError when the server refuses, breaks off, or sends no video.
    """
    welcome = await director.connect()
    capabilities = welcome["capabilities"]
    if welcome["state"]["mode"] == "i2v":
        width, height = capabilities["sizes"][0]
        picture = plan.picture or await asyncio.to_thread(draw_picture, width, height)
        await director.upload(picture, plan.mime)
    for at, text in sorted(plan.prompts):
        if at <= 0:
            await director.set_prompt(text)
    await asyncio.sleep(plan.wait_s)
    before = await _metrics(director)
    started = await director.start(plan.seed)
    sent: list[tuple[str, int]] = []
    for at, text in plan.schedule(capabilities["examples"]):
        if plan.is_typed:
            await director.stay(started.arrived + at - TYPED_S)
            await director.command("prepare", "prepared", prompt=text)
        await director.stay(started.arrived + at)
        sent.append((text, await director.set_prompt(text)))
    await director.stay(started.arrived + plan.seconds)
    changes = [(text, await director.wait_applied(message_id)) for text, message_id in sent]
    return make_report(director, started, changes, capacity(before, await _metrics(director)))


async def _metrics(director: Director) -> str:
    try:
        return await director.request("GET", "/metrics")
    except DirectorError:
        return ""  # a figure less; the video is what matters


async def _session(url: str, plan: Plan, recorder: Recorder | None) -> Report:
    on_frame = None if recorder is None else lambda frame: recorder.add(frame.picture)
    async with Director(url, codecs=plan.codecs, token=plan.token, on_frame=on_frame) as director:
        try:
            return await direct(director, plan)
        finally:
            if director.stream:
                with contextlib.suppress(DirectorError):
                    await director.end()


async def measure(url: str, plan: Plan, users: int = 1, mp4: str = "") -> list[Report | DirectorError]:
    """Let so many directors carry the plan out at once; gives for each its report, or why there is none.

    ``mp4`` names a file for the first one's video. Raises OSError or av.error.FFmpegError when it can't be written.
    """
    recorder = Recorder(mp4, RECORDED_FPS) if mp4 else None
    try:
        sessions = [_session(url, plan, recorder if user == 0 else None) for user in range(users)]
        results = await asyncio.gather(*sessions, return_exceptions=True)
    finally:
        if recorder is not None:
            await asyncio.to_thread(recorder.close)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, DirectorError):
            raise result
    return cast("list[Report | DirectorError]", results)


def draw_picture(width: int, height: int) -> bytes:
    """Draw a picture to begin from when none is given; gives a JPEG."""
    file = io.BytesIO()
    Image.fromarray(draw_photo(width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; gives the exit status: 0 video came, 1 it did not, 2 misused."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = _plan(options)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        results = asyncio.run(measure(options.url, plan, options.users, options.mp4))
    except (OSError, FFmpegError) as error:
        print(f"{parser.prog}: {options.mp4}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    reports = [result for result in results if isinstance(result, Report)]
    errors = [str(result) for result in results if isinstance(result, DirectorError)]
    if reports:
        print(table(reports))
    for error in errors:
        print(f"{parser.prog}: {error}", file=sys.stderr)
    if options.json:
        values = {"url": options.url, "users": [asdict(report) for report in reports], "errors": errors}
        Path(options.json).write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return FAILED if errors else SHOWN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stream.client", description=_DESCRIPTION)
    add = parser.add_argument
    add("url", metavar="URL", help="the server, as http://127.0.0.1:8080")
    add("--image", metavar="FILE", help="the picture to begin from (default: a drawn one)")
    add("--prompt", metavar="T:TEXT", action="append", default=[], type=_timed, help=_PROMPT_HELP)
    add("--latency", metavar="N", type=_count, help=_LATENCY_HELP)
    add("--typed", action="store_true", help="have each prompt read before it is set, as the page does")
    add("--wait", metavar="S", type=_seconds, default=0.0, help="from the picture to the start (default: none)")
    add("--seconds", metavar="S", type=_seconds, help="how long the video plays (default: 10, or as --latency needs)")
    add("--seed", metavar="N", type=_count, help="of the generation (default: the server's choice)")
    add("--codec", choices=("h264", "vp8"), help="offer this one alone (default: both, VP8 first)")
    add("--users", metavar="N", type=_count, default=1, help="so many directors at once, each with its stream")
    add("--token", metavar="ACCESS", default="", help="the server's access token")
    add("--mp4", metavar="OUT.mp4", default="", help="write the received video, encoded anew (the first user's)")
    add("--json", metavar="OUT.json", default="", help="write all figures")
    return parser


_DESCRIPTION = (
    "A director without a browser: uploads a picture, starts a stream, changes the prompt, "
    "and prints how soon and how evenly the video came."
)
_PROMPT_HELP = "a prompt, T seconds after the first frame, 0 being before the start; may be repeated"
_LATENCY_HELP = (
    "change the prompt N times, taking turns with the server's examples, to measure how soon it shows "
    "(default: every other second, or 0 with --prompt)"
)


def _plan(options: argparse.Namespace) -> Plan:
    seconds = options.seconds or max(SECONDS, QUICKEST_CHANGE_S * ((options.latency or 0) + 1))
    default = 0 if options.prompt else int(seconds / CHANGE_INTERVAL_S)
    picture = Path(options.image).read_bytes() if options.image else None
    late = [at for at, _ in options.prompt if at >= seconds]
    if late:
        raise ValueError(f"--prompt {late[0]:g}:... comes after the end, {seconds:g} s; give more --seconds")
    for path in filter(None, (options.mp4, options.json)):
        if not Path(path).parent.is_dir():
            raise ValueError(f"there is no folder {Path(path).parent} for {path}")
    if options.users < 1:
        raise ValueError("--users must be 1 at least")
    return Plan(
        seconds=seconds,
        picture=picture,
        mime=(mimetypes.guess_type(options.image)[0] if options.image else None) or "image/jpeg",
        prompts=tuple(options.prompt),
        changes=default if options.latency is None else options.latency,
        codecs=(options.codec.upper(),) if options.codec else CODECS,
        token=options.token,
        seed=options.seed,
        is_typed=options.typed,
        wait_s=options.wait,
    )


def _timed(text: str) -> tuple[float, str]:
    at, colon, prompt = text.partition(":")
    try:
        seconds = float(at)
    except ValueError:
        seconds = math.nan
    if not colon or not math.isfinite(seconds):
        raise argparse.ArgumentTypeError(f"{text!r} must be seconds, a colon and a prompt, as 3:snow is")
    return seconds, prompt


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds above 0")


def _count(text: str) -> int:
    with contextlib.suppress(ValueError):
        if int(text) >= 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 0 on")


if __name__ == "__main__":
    sys.exit(main())
