"""The command line: what it makes, what it refuses, and the status that it ends with."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import WeightsError
from pipeline.generate import DONE, FAILED, MISUSED, STOPPED, main
from pipeline.interface import Pipeline, Progress
from pipeline.types import Chunk, Conditioning
from tests.fakes import REFUSE, FakePipeline, FakeState

ROOT = Path(__file__).parents[1]
Built = list[tuple[ModelConfig, WanConfig]]


class Interrupted(FakePipeline):
    """A pipeline that someone presses Ctrl+C at, in the first chunk."""

    def generate_chunk(self, state: FakeState, conditioning: Conditioning) -> Chunk:
        """Make nothing."""
        raise KeyboardInterrupt


def builder(built: Built, pipeline: FakePipeline) -> Callable[[ModelConfig, WanConfig, Progress], Pipeline[Any]]:
    """Build this pipeline, and note from what."""

    def build(model: ModelConfig, wan: WanConfig, progress: Progress) -> Pipeline[Any]:
        built.append((model, wan))
        return pipeline

    return build


def command(*words: object, pipeline: FakePipeline | None = None, built: Built | None = None) -> int:
    """Run a command line on the fake."""
    fake = pipeline or FakePipeline(modes=("t2v", "i2v"))
    return main([str(word) for word in words], builder([] if built is None else built, fake))


def frames(path: Path) -> int:
    """Count the frames of a video."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def note(path: Path) -> dict[str, Any]:
    """What a video was made of."""
    return json.loads(path.with_suffix(".json").read_text())


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A list of one picture with its prompt."""
    Image.new("RGB", (80, 40), (200, 0, 0)).save(tmp_path / "a.png")
    path = tmp_path / "pairs.tsv"
    path.write_text("a.png\tsnow falls\n")
    return path


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A list of two prompts."""
    path = tmp_path / "prompts.txt"
    path.write_text("snow\npan left\n")
    return path


@pytest.mark.parametrize(("seconds", "made"), [("0.25", 4), ("0.26", 5), ("1", 16), (None, 160)])
def test_one_video(tmp_path: Path, pairs: Path, capsys: Any, seconds: str | None, made: int) -> None:
    """PICTURE OUT.mp4 with timed prompts gives the frames that fill the seconds, ten of them unless told."""
    fake, out = FakePipeline(), tmp_path / "o.mp4"
    timed = ["--prompt", "0:pan", "--prompt", "0.5:snow falls"]
    length = [] if seconds is None else ["--seconds", seconds]
    assert command(tmp_path / "a.png", out, *timed, *length, "--seed", 5, pipeline=fake) == DONE
    assert frames(out) == made
    assert capsys.readouterr().out == f"{out}: {made} frames\n"
    heard = [revision for name, revision in fake.calls if name == "generate"]
    assert heard == [1 if chunk < 2 else 2 for chunk in range(len(heard))]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "o.mp4", "pairs.tsv"]


def test_one_video_from_text(tmp_path: Path) -> None:
    """OUT.mp4 alone is made from its prompt, where the model can."""
    assert command(tmp_path / "o.mp4", "--prompt", "snow", "--frames", 5) == DONE
    assert frames(tmp_path / "o.mp4") == 5


def test_a_list_of_prompts(tmp_path: Path, prompts: Path, capsys: Any) -> None:
    """--prompts makes a video of exactly N frames for each line, from text, under the one seed."""
    out = tmp_path / "new" / "out"
    assert command("--prompts", prompts, "--output", out, "--frames", 6, "--seed", 9) == DONE
    assert capsys.readouterr().out == f"{out}: 2 made, 0 there already, 0 failed\n"
    for name in ("0001-snow", "0002-pan-left"):
        assert frames(out / f"{name}.mp4") == 6
        assert [note(out / f"{name}.mp4")[key] for key in ("seed", "frames", "mode")] == [9, 6, "t2v"]


def test_a_list_of_pairs_and_a_second_run(tmp_path: Path, pairs: Path, capsys: Any) -> None:
    """--pairs makes it from pictures, 81 frames under seed 1 unless told; the second run makes nothing."""
    out = tmp_path / "out"
    assert command("--pairs", pairs, "--output", out) == DONE
    found = note(out / "0001-snow-falls.mp4")
    assert [found[key] for key in ("seed", "frames", "mode", "quality")] == [1, 81, "i2v", 0]
    fake = FakePipeline()
    assert command("--pairs", pairs, "--i2v", "--output", out, pipeline=fake) == DONE
    assert fake.calls == []
    assert "0 made, 1 there already" in capsys.readouterr().out
    assert command("--pairs", pairs, "--output", out, "--force", pipeline=fake) == DONE
    assert fake.calls


def test_a_bad_item_is_told_at_the_end(tmp_path: Path, pairs: Path, capsys: Any) -> None:
    """The rest is made, the summary names the bad one, and the status is 1."""
    pairs.write_text(f"none.png\tsnow\na.png\t{REFUSE}\na.png\tpan\n")
    assert command("--pairs", pairs, "--output", tmp_path / "out", "--frames", 4) == FAILED
    told = capsys.readouterr()
    assert "1 made, 0 there already, 2 failed" in told.out
    assert "0001-snow: can't read the picture" in told.err.splitlines()[-2]
    assert (tmp_path / "out" / "0003-pan.mp4").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, prompts: Path, capsys: Any) -> None:
    """Stopped by Ctrl+C, no half file is left, and the last line says what to do."""
    fake = Interrupted(modes=("t2v",))
    assert command("--prompts", prompts, "--output", tmp_path / "out", pipeline=fake) == STOPPED
    told = capsys.readouterr()
    assert "0 made, 0 there already, 0 failed, 2 left" in told.out
    assert told.err.splitlines()[-1].endswith("the same command goes on from here")
    assert list((tmp_path / "out").iterdir()) == []
    assert command(tmp_path / "o.mp4", "--prompt", "x", pipeline=fake) == STOPPED
    assert not (tmp_path / "o.mp4").exists()


def test_settings_come_from_the_file_and_the_words(tmp_path: Path, prompts: Path) -> None:
    """A configuration of the server will do; words with = go over it, wherever they stand."""
    path, built = tmp_path / "my.yaml", Built()
    path.write_text("server:\n  port: 9000\nmodel:\n  steps: 4\n  threads: 2\n")
    words = ["--config", path, "model.threads=3", "--prompts", prompts, "wan.sink=1", "--output", tmp_path / "out"]
    assert command(*words, "--frames", 1, built=built) == DONE
    model, wan = built[0]
    assert (model.steps, model.threads, wan.sink) == (4, 3, 1)
    config = note(tmp_path / "out" / "0001-snow.mp4")["config"]
    assert config["model"]["steps"] == 4
    assert "threads" not in config["model"]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_of_ours_is_read(tmp_path: Path, prompts: Path, path: Path) -> None:
    """No configuration that comes with Vivant has a section that this command does not know of."""
    assert command("--config", path, "--prompts", prompts, "--output", tmp_path / "out", "--frames", 1) == DONE


def test_the_published_command_line(tmp_path: Path, pairs: Path, prompts: Path) -> None:
    """Its flags do here what they do there: latents are counted, the seed is 0, the file's keys are honoured."""
    config, built, out = tmp_path / "self_forcing.yaml", Built(), tmp_path / "videos"
    config.write_text("denoising_step_list: [1000, 500]\nnum_frame_per_block: 3\nwarp_denoising_step: true\n")
    common = ["--config_path", config, "--checkpoint_path", "some.pt", "--output_folder", out, "--use_ema"]
    words = ["--data_path", prompts, "--num_output_frames", 3, "--save_with_index"]
    assert command(*common, *words, built=built) == DONE
    model, wan = built[0]
    assert (model.kind, model.weights, model.latents_per_chunk) == ("wan", "some.pt", 3)
    assert (list(wan.denoising_steps), wan.warp_steps) == ([1000, 500], True)
    assert frames(out / "0001-snow.mp4") == 9
    assert note(out / "0001-snow.mp4")["seed"] == 0
    assert command(*common, "--data_path", pairs.parent, "--i2v", "--num_output_frames", 1, "--seed", 4) == DONE
    found = note(out / "0001-snow-falls.mp4")
    assert [found[key] for key in ("mode", "frames", "seed")] == ["i2v", 1, 4]
    longer = tmp_path / "longer.txt"
    longer.write_text("Snow falls on a lake.\nA slow pan.\n")
    extended = ["--data_path", prompts, "--extended_prompt_path", longer, "--num_samples", 2, "--num_output_frames", 2]
    assert command(*common, *extended) == DONE
    found = note(out / "0001-snow-seed1.mp4")
    assert [found[key] for key in ("prompt", "frames", "seed")] == ["Snow falls on a lake.", 5, 1]


def test_other_weights_are_another_video(tmp_path: Path, prompts: Path, capsys: Any) -> None:
    """A checkpoint that was overwritten makes finished videos anew."""
    weights, words = tmp_path / "w.safetensors", ["--prompts", prompts, "--output", tmp_path / "out", "--frames", 1]
    weights.write_bytes(b"one")
    assert command(*words, "--weights", weights) == DONE
    assert command(*words, "--weights", weights) == DONE
    weights.write_bytes(b"other")
    assert command(*words, "--weights", weights) == DONE
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["2", "0", "2"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "give one of --prompts FILE, --pairs PATH, or PICTURE OUT.mp4 --prompt WORDS; got nothing"),
        ("--prompts {prompts} --pairs {pairs} --output o", "got --prompts and --pairs"),
        ("--prompts {prompts}", "a list needs --output DIR"),
        ("--prompts {prompts} --output o --prompt x", "takes neither --prompt nor --seconds"),
        ("--prompts {prompts} --output o --i2v", "--i2v needs pictures: give --pairs"),
        ("--prompts {prompts} --output {prompts}", "is a file; name a folder"),
        ("--prompts {prompts} --output o --frames 0", "--frames begins at 1, got 0"),
        ("--prompts {prompts} --output o --num_output_frames -1", "--num_output_frames begins at 1"),
        ("--prompts {prompts} --output o --num_samples 0", "--num_samples begins at 1"),
        ("--prompts {prompts} --output o --frames 1 --num_output_frames 1", "give the length once"),
        ("--prompts {prompts} --output o --seed -1", "seeds go from 0 to 4294967295, got -1"),
        ("--prompts {prompts} --output o --quality 3", "--quality goes from 0 to 2"),
        ("--prompts {prompts} --output o model.stebs=1", "did you mean model.steps?"),
        ("--prompts {prompts} --output o server.port=1", "unknown key 'server.port'"),
        ("--prompts {prompts} --output o --config none.yaml", "none.yaml: No such file"),
        ("--prompts none.txt --output o", "can't read none.txt"),
        ("--pairs {prompts} --output o", "is no list of pictures with prompts"),
        ("--pairs {pairs} --output o --extended_prompt_path {prompts}", "goes with a list of text prompts"),
        ("a.png o.mp4", "one video is PICTURE OUT.mp4 --prompt WORDS"),
        ("a.png b.png o.mp4 --prompt x", "one video is PICTURE OUT.mp4 --prompt WORDS"),
        ("o.mp4 --prompt x --i2v", "--i2v needs pictures"),
        ("a.png o.mp4 --prompt x --seconds 0", "--seconds 0.0 is no length"),
        ("a.png o.mp4 --prompt x --seconds nan", "--seconds nan is no length"),
    ],
)
def test_misuse_is_said_in_one_line(
    tmp_path: Path, pairs: Path, prompts: Path, capsys: Any, words: str, says: str
) -> None:
    """What can't be meant ends with status 2 and a line that says what to give; nothing is made."""
    given = words.format(prompts=prompts, pairs=pairs).split()
    assert command(*given) == MISUSED
    told = capsys.readouterr()
    assert says in told.err
    assert len(told.err.splitlines()) == 1
    assert not Path("o").exists()


def test_a_model_is_not_asked_for_what_it_can_not_do(tmp_path: Path, pairs: Path, prompts: Path, capsys: Any) -> None:
    """Prompts alone for a model that needs a picture, and pictures for one that takes none, are misuse."""
    assert command("--prompts", prompts, "--output", tmp_path / "o", pipeline=FakePipeline()) == MISUSED
    assert "fake makes video from a picture only (i2v): give --pairs" in capsys.readouterr().err
    text = FakePipeline(modes=("t2v",))
    assert command("--pairs", pairs, "--output", tmp_path / "o", pipeline=text) == MISUSED
    assert command(tmp_path / "a.png", tmp_path / "o.mp4", "--prompt", "x", pipeline=text) == MISUSED
    assert not (tmp_path / "o").exists()


def test_weights_that_do_not_fit_are_no_misuse(tmp_path: Path, prompts: Path, capsys: Any) -> None:
    """A model that can't be built, or a place that can't be written, is status 1 in one line."""

    def build(model: ModelConfig, wan: WanConfig, progress: Progress) -> Pipeline[Any]:
        raise WeightsError("no such weights")

    assert main(["--prompts", str(prompts), "--output", str(tmp_path / "o")], build) == FAILED
    assert capsys.readouterr().err == "pipeline.generate: no such weights\n"
    assert command(tmp_path / "none" / "o.mp4", "--prompt", "x") == FAILED
    assert "can't write" in capsys.readouterr().err.splitlines()[-1]


def test_the_start_of_the_model_is_told(tmp_path: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages of a long start are lines, so that nobody thinks it hangs."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)

    def build(model: ModelConfig, wan: WanConfig, progress: Progress) -> Pipeline[Any]:
        progress("reading the weights")
        return FakePipeline(modes=("t2v",))

    assert main(["--prompts", str(prompts), "--output", str(tmp_path / "o"), "--frames", "1"], build) == DONE
    assert out.getvalue().splitlines()[0] == "reading the weights"


def test_a_file_that_is_no_picture_is_one_line(tmp_path: Path, capsys: Any) -> None:
    """A picture that can't be read, or is not there, is said without a traceback, and before the model is built."""
    (tmp_path / "a.jpg").write_text("no picture")
    for name, says in (("a.jpg", "no JPEG, PNG or WebP"), ("none.jpg", "No such file")):
        built = Built()
        assert command(tmp_path / name, tmp_path / "o.mp4", "--prompt", "x", built=built) == FAILED
        assert built == []
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line


def test_pocket_itself(tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing configured it is pocket that makes the videos, and the status tells."""
    pairs.write_text("a.png\tThe leaves begin to sway gently in the wind\nnone.png\tsnow\n")
    output = tmp_path / "out"
    status = main(["model.threads=1", "--pairs", str(pairs), "--frames", "5", "--output", str(output)])
    assert status == FAILED
    assert capsys.readouterr().out == f"{output}: 1 made, 0 there already, 1 failed\n"
    video = output / "0001-the-leaves-begin-to-sway.mp4"
    assert frames(video) == 5
    assert note(video)["model"] == "pocket"


def test_a_program_of_its_own() -> None:
    """``python -m pipeline.generate`` is the command, and ends with its status."""
    words = [sys.executable, "-m", "pipeline.generate", "--pairs", "none.tsv", "--frames", "0"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == MISUSED, done.stderr
    assert done.stderr.count("\n") == 1
