"""Make video files from prompts, or from pictures with prompts, by the same chunks that the server streams."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.batch import Job, Order, Report, check_mode, plan, run
from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError, PipelineError
from pipeline.factory import build as build_pipeline
from pipeline.identity import settings_of
from pipeline.interface import Pipeline, Progress
from pipeline.loop_file import write_loop
from pipeline.offline import Shot, frames_of, generate, parse_prompt
from pipeline.picture import MOST_PIXELS, decode_picture, read_picture
from pipeline.progress import ProgressBar
from pipeline.prompt_lists import Item, read_pairs, read_prompts
from pipeline.published import frames_of_latents, is_published, published_config
from pipeline.replay import check_weights, overrides_of, write_replay
from pipeline.session import Session, read_session
from pipeline.settings import load
from pipeline.video_file import write_mp4

EXAMPLES = """\
examples:
  python -m pipeline.generate PICTURE OUT.mp4 --prompt 0:'the camera pans left' --prompt 4.5:'snow falls' --seconds 10
  python -m pipeline.generate PICTURE LOOP.webp --prompt 'the leaves sway' --seconds 6 model.fps=12
  python -m pipeline.generate --pairs pairs.tsv --output videos --frames 81 --seed 7
  python -m pipeline.generate --config configs/pocket.yaml model.steps=1 --pairs FOLDER --output videos
  python -m pipeline.generate --replay LOG.jsonl --output videos
  python -m pipeline.generate --replay LOG.jsonl --output videos --quality 0 model.steps=4

A list is made again from where it was stopped: what is finished, under the same settings, stays as it is.
Exit status: 0 all there, 1 something could not be made, 2 misused, 130 stopped by Ctrl+C.
"""
DONE, FAILED, MISUSED, STOPPED = 0, 1, 2, 130
FRAMES, SEED, PUBLISHED_SEED = 81, 1, 0
MOST_SEED = 2**32 - 1
OF_THE_SERVER = ("server", "stream", "engine")
IMMATERIAL = ("max_streams", "threads", "memory_gb")

BuildPipeline = Callable[[ModelConfig, WanConfig, Progress], Pipeline[Any]]


@dataclass(frozen=True, slots=True)
class GenerateConfig:
    """The sections of a configuration file that matter here."""

    model: ModelConfig = field(default_factory=ModelConfig)
    wan: WanConfig = field(default_factory=WanConfig)


def arguments() -> argparse.ArgumentParser:
    """The command line: ours, and that of Self-Forcing's ``inference.py``."""
    parser = argparse.ArgumentParser(
        "pipeline.generate",
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    says = "one video, or one that goes round if OUT.webp; and settings over the file's"
    add("words", nargs="*", metavar="PICTURE OUT.mp4 | key=value", help=says)
    add("--config", "--config_path", type=Path, metavar="FILE", help="YAML: ours, or a published one")
    add("--prompts", type=Path, metavar="FILE", help="one text prompt a line")
    add("--pairs", type=Path, metavar="PATH", help="picture, tab, prompt a line; or a folder of pictures and .txt")
    add("--output", "--output_folder", type=Path, metavar="DIR", help="where a list's videos go")
    add("--frames", type=int, metavar="N", help=f"frames of each video ({FRAMES})")
    add("--seed", type=int, metavar="S", help=f"the same for every item ({SEED})")
    add("--quality", type=int, metavar="N", help="0 is best (0; of a log's video, as it was)")
    add("--i2v", action="store_true", help="from pictures, as --pairs does by itself")
    add("--replay", type=Path, metavar="LOG", help="a live stream's session log: its video again, prompts as subtitles")
    add("--force", action="store_true", help="make again what is there already; go on where a log does not fit")
    add("--prompt", type=parse_prompt, action="append", metavar="SECOND:WORDS", help="of the one video; repeatable")
    add("--seconds", type=float, metavar="S", help="length of the one video (10)")
    add("--weights", "--checkpoint_path", default="", metavar="FILE", help="short for model.weights=FILE")
    published = parser.add_argument_group("as the published command line has them").add_argument
    published("--data_path", type=Path, metavar="PATH", help="--prompts, or --pairs with --i2v")
    published("--extended_prompt_path", type=Path, metavar="FILE", help="what the model hears in place of each prompt")
    published("--num_output_frames", type=int, metavar="N", help="length in latents: 21 are 81 frames")
    published("--num_samples", type=int, default=1, metavar="N", help="videos of each item, seeds S, S + 1, ...")
    published("--use_ema", action="store_true", help="accepted: the averaged weights are taken where there are any")
    published("--save_with_index", action="store_true", help="accepted: every name begins with the item's number")
    return parser


def main(words: Sequence[str] | None = None, build: BuildPipeline = build_pipeline) -> int:
    """Make what is asked for, or say in one line what is wrong; give the exit status."""
    args = arguments().parse_intermixed_args(words)
    try:
        check(args)
        session = None if args.replay is None else read_session(args.replay, args.force)
        config = configure(args, session)
        items = listed(args)
    except ConfigError as error:
        return fail(str(error), MISUSED)
    try:
        if session is not None and not args.force:
            check_weights(session, config.model, config.wan)
        # Before the model, whose start may take minutes.
        for picture in positionals(args)[:-1]:
            read_picture(Path(picture))
        pipeline = build(config.model, config.wan, tell)
        if (args.quality or 0) not in range(len(pipeline.capabilities.quality)):
            raise ConfigError(f"--quality goes from 0 to {len(pipeline.capabilities.quality) - 1} for this model")
        if session is not None:
            return make_again(pipeline, session, args)
        check_mode(pipeline, is_from_pictures(args))
        return make_one(pipeline, args) if items is None else make_list(pipeline, items, args, config)
    except ConfigError as error:
        return fail(str(error), MISUSED)
    except (PipelineError, OSError) as error:
        return fail(str(error), FAILED)
    except KeyboardInterrupt:
        return fail("stopped; nothing half-made is left", STOPPED)


def check(args: argparse.Namespace) -> None:
    """Raise ConfigError for arguments that do not go together, or out of bounds."""
    lists = [f"--{name}" for name in ("prompts", "pairs", "data_path", "replay") if getattr(args, name) is not None]
    files = positionals(args)
    if args.replay is not None:
        check_replay(args, lists, files)
    if len(lists) + bool(files) != 1:
        given = " and ".join([*lists, *files[:1]]) or "nothing"
        raise ConfigError(f"give one of --prompts FILE, --pairs PATH, or PICTURE OUT.mp4 --prompt WORDS; got {given}")
    if lists and (args.output is None or args.prompt or args.seconds is not None):
        raise ConfigError("a list needs --output DIR, and takes neither --prompt nor --seconds")
    if files and (len(files) > 2 or not args.prompt or args.output is not None or args.num_samples != 1):
        raise ConfigError("one video is PICTURE OUT.mp4 --prompt WORDS, or OUT.mp4 alone if from text; no --output")
    if args.i2v and (args.prompts is not None or len(files) == 1):
        raise ConfigError("--i2v needs pictures: give --pairs PATH")
    if args.extended_prompt_path is not None and (args.pairs or args.i2v or files):
        raise ConfigError("--extended_prompt_path goes with a list of text prompts")
    if [args.frames, args.num_output_frames, args.seconds].count(None) < 2:
        raise ConfigError("give the length once: --frames, --num_output_frames or --seconds")
    if args.seconds is not None and not 0 < args.seconds < float("inf"):
        raise ConfigError(f"--seconds {args.seconds} is no length")
    for name in ("frames", "num_output_frames", "num_samples"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} begins at 1, got {value}")
    if args.seed is not None and not 0 <= args.seed <= MOST_SEED - args.num_samples + 1:
        raise ConfigError(f"seeds go from 0 to {MOST_SEED}, got {args.seed}")
    if args.output is not None and args.output.exists() and not args.output.is_dir():
        raise ConfigError(f"--output {args.output} is a file; name a folder")


def check_replay(args: argparse.Namespace, lists: Sequence[str], files: Sequence[str]) -> None:
    """Raise ConfigError for what a log says already, or for a list beside it."""
    said = [
        name for name in ("config", "seed", "frames", "num_output_frames", "seconds", "prompt") if getattr(args, name)
    ]
    if said or files or len(lists) > 1:
        what = f"--{said[0]}" if said else files[0] if files else lists[0]
        raise ConfigError(f"--replay LOG --output DIR takes all from the log but key=value and --quality; got {what}")
    if args.output is None:
        raise ConfigError("--replay LOG needs --output DIR")


def positionals(args: argparse.Namespace) -> list[str]:
    """The words that are no settings: files of the one video."""
    return [word for word in args.words if "=" not in word]


def is_from_pictures(args: argparse.Namespace) -> bool:
    """Whether the videos begin from pictures (i2v)."""
    return args.i2v or args.pairs is not None or len(positionals(args)) == 2


def configure(args: argparse.Namespace, session: Session | None = None) -> GenerateConfig:
    """Read the configuration, a log's or a file's, and what the command line says over it. Raises ConfigError."""
    path, overrides = args.config, [] if session is None else overrides_of(session)
    if path is not None and is_published(path):
        path, overrides = None, published_config(path)
    if args.weights:
        overrides.append(f"model.weights={args.weights}")
    overrides += [word for word in args.words if "=" in word]
    return load(GenerateConfig, path, overrides, ignored=OF_THE_SERVER)


def listed(args: argparse.Namespace) -> list[Item] | None:
    """Read the list, or give None where one video is asked for. Raises ConfigError."""
    pairs = args.pairs or (args.data_path if args.i2v else None)
    if pairs is not None:
        return read_pairs(pairs)
    prompts = args.prompts or args.data_path
    return None if prompts is None else read_prompts(prompts, args.extended_prompt_path)


def length(args: argparse.Namespace, fps: Fraction) -> int:
    """Frames of each video."""
    if args.num_output_frames is not None:
        return frames_of_latents(args.num_output_frames)
    if args.frames is not None:
        return args.frames
    return FRAMES if args.output is not None else frames_of(args.seconds or 10.0, fps)


def chosen_seed(args: argparse.Namespace) -> int:
    """The seed, or the default of the command line that was used."""
    default = SEED if args.data_path is None else PUBLISHED_SEED
    return default if args.seed is None else args.seed


def make_one(pipeline: Pipeline[Any], args: argparse.Namespace) -> int:
    """Make the one video. Raises PipelineError, OSError."""
    *pictures, out = map(Path, positionals(args))
    sizes = pipeline.capabilities.sizes
    image = decode_picture(pictures[0].read_bytes(), MOST_PIXELS, sizes).pixels if pictures else None
    shot = Shot(args.prompt, image, chosen_seed(args), args.quality or 0)
    frames = length(args, pipeline.capabilities.quality[shot.quality].fps)
    progress = ProgressBar(1, sys.stderr)
    progress.begin(out.name, frames)
    try:
        with closing(generate(pipeline, shot, frames)) as chunks:
            write = write_loop if out.suffix == ".webp" else write_mp4
            made = write(out, progress.counted(chunks))
    finally:
        progress.clear()
    print(f"{out}: {made} frames")
    return DONE


def make_list(pipeline: Pipeline[Any], items: Sequence[Item], args: argparse.Namespace, config: GenerateConfig) -> int:
    """Make what is missing of a list, and sum up. Raises OSError."""
    jobs = plan(items, chosen_seed(args), args.num_samples)
    quality = args.quality or 0
    fps = pipeline.capabilities.quality[quality].fps
    order = Order(args.output, length(args, fps), quality, material(config), args.force)
    return sum_up(run(pipeline, jobs, order, ProgressBar(len(jobs), sys.stderr)), jobs, order)


def make_again(pipeline: Pipeline[Any], session: Session, args: argparse.Namespace) -> int:
    """Make the video of a log. Raises PipelineError, OSError."""
    args.output.mkdir(parents=True, exist_ok=True)
    out = args.output / f"{session.path.stem}.mp4"
    tally = write_replay(pipeline, session, out, args.quality)
    print(f"{out}: {tally}")
    return DONE


def material(config: GenerateConfig) -> dict[str, Any]:
    """The settings that a video follows from."""
    told: dict[str, Any] = {
        name: {key: value for key, value in section.items() if key not in IMMATERIAL}
        for name, section in settings_of(config.model, config.wan).items()
    }
    weights = Path(config.model.weights)
    if config.model.weights and weights.is_file():
        # A checkpoint may be overwritten by a better one; to hash it would take longer than to make a video.
        told["weights"] = {"bytes": weights.stat().st_size, "modified": int(weights.stat().st_mtime)}
    return told


def sum_up(report: Report, jobs: Sequence[Job], order: Order) -> int:
    """Say what came of a list; give the exit status."""
    missing = len(jobs) - len(report.made) - len(report.kept) - len(report.failed)
    told = f"{len(report.made)} made, {len(report.kept)} there already, {len(report.failed)} failed"
    print(f"{order.output}: {told}{f', {missing} left' if missing else ''}")
    for name, reason in report.failed:
        print(f"  {name}: {reason}", file=sys.stderr)
    if report.is_stopped:
        return fail("stopped; the same command goes on from here", STOPPED)
    return FAILED if report.failed else DONE


def tell(stage: str) -> None:
    """Say what the start of the model has come to."""
    print(stage, file=sys.stderr, flush=True)


def fail(message: str, status: int) -> int:
    """Say in one line what is wrong; give the status back."""
    print(f"pipeline.generate: {message}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
