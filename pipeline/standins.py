"""Write stand-ins for the published weights: every name, shape, dtype, shard and prefix of theirs, random values.

``python -m pipeline.standins FOLDER --model wan_i2v_14b`` makes what ``python -m pipeline.download`` would, in the
published sizes; nothing is fetched. With ``--scale tiny`` the networks are small enough for a test on a CPU.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline import wan_files
from pipeline.errors import PipelineError, WeightsError
from pipeline.standin_files import Noise, write
from pipeline.wan.file_layouts import Layout, descriptions, layouts, others


def write_model(folder: Path, model: str, tiny: bool = False, complete: bool = False) -> Iterator[Path]:
    """Write a model's files into the folder of all weights, each path as it is done; a whole one is kept.

    ``complete`` adds the published files that the models here do without. Raises ConfigError for an unknown model,
    WeightsError when the disk is too small.
    """
    listed = [*layouts(model, tiny), *(others(tiny) if complete else ())]
    wanted = [layout for layout in listed if not _is_whole(folder / layout.path, layout)]
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(spec.size_bytes for layout in wanted for spec in layout.tensors.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"{model} takes {wan_files.readable(needed)} in {folder}, where {wan_files.readable(free)} are free"
        )
    noise = Noise()
    for layout in wanted:
        yield write(folder, layout, noise)
    texts = {path: text.encode() for path, text in descriptions(model, tiny)} if complete else {}
    for file in wan_files.files(model):
        if file.part == "tokenizer":
            # White space after JSON means nothing.
            texts[file.path] = tokenizer().encode().ljust(0 if tiny else file.size_bytes)
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text)
        yield folder / path


def tokenizer() -> str:
    """Give a ``tokenizer.json`` of single characters, which reads Latin text in ids that every text encoder has.

    >>> from tokenizers import Tokenizer
    >>> Tokenizer.from_str(tokenizer()).encode("a b").tokens
    ['▁a', '▁b', '</s>']
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    characters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    pieces = ["<pad>", "</s>", "<unk>", "▁", *characters, *(f"▁{letter}" for letter in characters)]
    made = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.add_special_tokens(pieces[:3])
    return made.to_str()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    names = [*wan_files.ALIASES, *wan_files.MODELS]
    parser.add_argument("--model", choices=names, default="wan_1_3b", help="default: wan_1_3b")
    parser.add_argument("--scale", choices=("full", "tiny"), default="full", help="full: the published sizes (default)")
    parser.add_argument("--complete", action="store_true", help="published files that nothing here needs, too")
    args = parser.parse_args()
    try:
        for path in write_model(args.folder, args.model, args.scale == "tiny", args.complete):
            print(f"{path}  {wan_files.readable(path.stat().st_size)}", flush=True)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _is_whole(path: Path, layout: Layout) -> bool:
    return path.is_file() and layout.size_bytes in (None, path.stat().st_size)


if __name__ == "__main__":
    sys.exit(main())
