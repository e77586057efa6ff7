"""Make a video file from a picture and prompts, by the same chunks that the server streams.

``python -m pipeline.generate PICTURE OUT.mp4 --prompt 0:'the camera pans left' --prompt 4.5:'snow falls' --seconds 10``
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageOps

from pipeline.config import PipelineConfig
from pipeline.errors import PipelineError
from pipeline.factory import build
from pipeline.interface import Pipeline
from pipeline.types import Chunk, Conditioning, Pixels


@dataclass(frozen=True, slots=True)
class TimedPrompt:
    """A prompt and the second from which it holds."""

    second: float
    text: str


def parse_prompt(text: str) -> TimedPrompt:
    """Read ``SECOND:WORDS``; words without a second hold from the start. Raises ValueError for a negative second.

    >>> parse_prompt("4.5:snow falls"), parse_prompt("note: pan left").second
    (TimedPrompt(second=4.5, text='snow falls'), 0.0)
    """
    head, colon, rest = text.partition(":")
    try:
        second = float(head) if colon else 0.0
    except ValueError:
        return TimedPrompt(0.0, text)
    if not 0 <= second < float("inf"):
        raise ValueError(f"a prompt cannot begin at second {head}")
    return TimedPrompt(second, rest if colon else text)


def read_picture(path: Path) -> Pixels:
    """Read a picture upright, on black where it is transparent, as ``uint8 [H, W, 3]``. Raises OSError."""
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGBA")
    black = Image.new("RGBA", upright.size, (0, 0, 0, 255))
    return np.asarray(Image.alpha_composite(black, upright).convert("RGB"))


def generate(
    pipeline: Pipeline[Any],
    image: Pixels | None,
    prompts: Sequence[TimedPrompt],
    seconds: float,
    seed: int,
    quality: int,
) -> Iterator[Chunk]:
    """Make chunks until ``seconds`` are full.

    A prompt holds from the first chunk that begins at its second or later; before the first prompt's second the
    prompt is empty. Raises PipelineError as the pipeline does.
    """
    timed = sorted(prompts, key=lambda prompt: prompt.second)
    mode = "t2v" if image is None else "i2v"
    length, index = pipeline.format.chunk_seconds, 0
    state = None
    try:
        while index * length < seconds:
            heard = [prompt for prompt in timed if prompt.second <= index * length]
            text = heard[-1].text if heard else ""
            wanted = Conditioning(mode, text, image, seed, revision=len(heard), quality=quality)
            state = pipeline.open(wanted) if state is None else state
            yield pipeline.generate_chunk(state, wanted)
            pipeline.commit(state)
            index += 1
    finally:
        if state is not None:
            pipeline.close(state)


def write_mp4(path: Path, chunks: Iterable[Chunk]) -> int:
    """Encode chunks with x264 at their own frame rate; give the number of frames. Raises OSError."""
    count = 0
    with av.open(str(path), "w") as container:
        stream = None
        for chunk in chunks:
            if stream is None:
                stream = container.add_stream("libx264", rate=chunk.fps, options={"crf": "16", "preset": "medium"})
                stream.height, stream.width = chunk.frames.shape[1:3]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.color_range = ColorRange.MPEG
                stream.codec_context.colorspace = Colorspace.ITU601
            for pixels in chunk.frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                yuv = frame.reformat(
                    format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
                )
                yuv.pts, yuv.time_base = count, 1 / chunk.fps
                container.mux(stream.encode(yuv))
                count += 1
        if stream is not None:
            container.mux(stream.encode())
    return count


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a video file from a picture and prompts.")
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompt", type=parse_prompt, action="append", metavar="SECOND:WORDS", required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quality", type=int, default=0, metavar="N", help="0 is best")
    parser.add_argument("--weights", default="", help="another checkpoint than the one that comes with Vivant")
    return parser


def main() -> None:
    """Make the file, or say in one line what is wrong."""
    args = arguments().parse_args()
    try:
        image = read_picture(args.picture)
        pipeline = build(PipelineConfig(weights=args.weights))
        chunks = generate(pipeline, image, args.prompt, args.seconds, args.seed, args.quality)
        frames = write_mp4(args.out, chunks)
    except (PipelineError, OSError) as error:
        sys.exit(str(error))
    print(f"{args.out}: {frames} frames")


if __name__ == "__main__":
    main()
