"""From the start of a process to its first chunk: ``python -m pipeline.bench.starts CONFIG [key=value ...]``.

Cold is with empty folders for what is compiled, warm the same again. Weights of random numbers come from no disk, and
what the system keeps of program files in memory is as the runs before left it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.bench.setting import Setting, read, switched
from pipeline.errors import PipelineError

FOLDERS = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
LONGEST_S = 900.0


def cold_and_warm(path: Path, words: Sequence[str]) -> dict[str, float]:
    """Start a process twice, over folders that are empty the first time; give seconds. Raises PipelineError."""
    command = [sys.executable, "-m", "pipeline.bench.starts", str(path), *words]
    with tempfile.TemporaryDirectory(prefix="vivant-bench-") as folder:
        where = {name: str(Path(folder, leaf)) for name, leaf in FOLDERS.items()}
        return {kind: seconds(command, where) for kind in ("cold", "warm")}


def seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    """Run a command that prints when its first chunk was there; give the time since its start."""
    begun = time.monotonic()
    told = {**os.environ, **environ}
    try:
        done = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    except subprocess.TimeoutExpired as error:
        raise PipelineError(f"a start took longer than {LONGEST_S:.0f} s") from error
    if done.returncode:
        raise PipelineError(f"a start failed: {(done.stderr.strip().splitlines() or ['it died'])[-1]}")
    # One clock for all processes of a machine.
    return json.loads(done.stdout.strip().splitlines()[-1])["first_chunk_at"] - begun


def first_chunk(setting: Setting) -> float:
    """Build, warm up and make a chunk, as the server does before its first; give the clock. Raises PipelineError."""
    from pipeline.bench.runs import built, wanted
    from pipeline.interface import silent

    with switched(setting):
        _, pipeline = built(setting, silent)
        pipeline.warm_up()
        asked = wanted(pipeline)
        pipeline.generate_chunk(pipeline.open(asked), asked)
    return time.monotonic()


def main(words: Sequence[str] | None = None) -> int:
    """Start once, and print when the first chunk was there."""
    parser = argparse.ArgumentParser("pipeline.bench.starts", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args(words)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        print(json.dumps({"first_chunk_at": first_chunk(read(args.config, args.overrides))}))
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
