"""The film test, step by step; what each is for stands in pocket's model card.

``python -m pipeline.pocket.film_test draw PICTURES`` prints the scenes as they were drawn;
``render PICTURES FILMS NAME`` makes the films of what is installed, ``--tree DIR`` those of another checkout,
``--warp`` those of the script; ``sheets FILMS NAME OPPONENT... --out DIR`` deals blind sheets to judges;
``verdicts KEY ANSWERS... --json FILE`` counts what they answered and keeps it.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.pocket.film_test.drawing import draw, scenes, written
from pipeline.pocket.film_test.rendering import TREE, Film, render
from pipeline.pocket.film_test.sheets import deal
from pipeline.pocket.film_test.verdicts import count, kept, read_answers, told


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser("pipeline.pocket.film_test", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("draw")
    step.add_argument("pictures", type=Path)
    step = steps.add_parser("render")
    step.add_argument("pictures", type=Path, help="folder of pipeline.pocket.pictures")
    step.add_argument("films", type=Path, help="where films go, a folder each")
    step.add_argument("name")
    step.add_argument("--tree", type=Path, default=TREE, metavar="DIR", help="root of another checkout")
    step.add_argument("--warp", action="store_true", help="by the script of warps, without any model")
    step.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the model")
    step.add_argument("--only", default="", metavar="NN,NN", help="these scenes")
    step.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    step = steps.add_parser("sheets")
    step.add_argument("films", type=Path)
    step.add_argument("name", help="the films that are judged")
    step.add_argument("opponents", nargs="+")
    step.add_argument("--out", type=Path, required=True)
    step.add_argument("--judges", type=int, default=3, help="decks for each opponent")
    step.add_argument("--seed", type=int, help="of the coins and orders; drawn by the system if not given")
    step.add_argument("--only", default="", metavar="NN,NN", help="these scenes")
    step = steps.add_parser("verdicts")
    step.add_argument("key", type=Path)
    step.add_argument("answers", type=Path, nargs="+")
    step.add_argument("--json", type=Path, help="keep the verdicts here")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Take one step; give the exit status."""
    args = arguments().parse_args(words)
    try:
        return _step(args)
    except (ValueError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _step(args: argparse.Namespace) -> int:
    if args.step == "draw":
        print(written(draw([file.stem for file in (args.pictures / "held").glob("*.jpg")])), end="")
        return 0
    if args.step == "verdicts":
        key = json.loads(args.key.read_text(encoding="utf-8"))
        counted = count(key, [read_answers(file) for file in args.answers])
        if args.json is not None:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(kept(key, counted), encoding="utf-8")
        print(told(counted))
        return 0
    chosen = [scene for scene in scenes() if not args.only or scene.name in args.only.split(",")]
    if args.step == "render":
        film = Film(None) if args.warp else Film(args.tree.resolve(), dict(map(_setting, args.set)))
        made = render(chosen, args.pictures, args.films / args.name, film, args.workers)
        print(f"{made} of {len(chosen)} films made, the others were there")
    else:
        print(deal(chosen, args.films, (args.name, args.opponents), args.out, args.judges, args.seed))
    return 0


def _setting(words: str) -> tuple[str, Any]:
    key, _, value = words.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


if __name__ == "__main__":
    sys.exit(main())
