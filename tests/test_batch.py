"""Lists are made whole, go on where they were stopped, and survive their bad items."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.batch import Job, Order, Report, check_mode, plan, run
from pipeline.errors import ConfigError
from pipeline.interface import Pipeline
from pipeline.progress import ProgressBar
from pipeline.prompt_lists import Item
from pipeline.types import Chunk, Conditioning, Pixels
from pipeline.video_file import write_mp4
from stream.protocol import SetPrompt, Start
from tests import pocket_parts
from tests.fakes import FAIL, REFUSE, FakePipeline, FakeState
from tests.studio import Studio


class Interrupted(FakePipeline):
    """A pipeline that someone presses Ctrl+C at, in the third chunk of the prompt "stop"."""

    def generate_chunk(self, state: FakeState, conditioning: Conditioning) -> Chunk:
        """Make two chunks at most."""
        if conditioning.prompt == "stop" and state.chunks == 2:
            raise KeyboardInterrupt
        return super().generate_chunk(state, conditioning)


class Mirror(FakePipeline):
    """A pipeline whose frames show its picture, and not how many commands there were."""

    def _frame(self, state: FakeState, conditioning: Conditioning, index: int, latent: int) -> Pixels:
        frame = super()._frame(state, replace(conditioning, revision=0), index, latent)
        assert conditioning.image is not None
        height, width = conditioning.image.shape[:2]
        frame[1:] = conditioning.image[:: height // 31, :: width // 64][:31, :64]
        return frame


def picture(folder: Path, name: str = "a.png", red: int = 200) -> Path:
    """A picture file of one red."""
    path = folder / name
    Image.new("RGB", (80, 40), (red, 0, 0)).save(path)
    return path


def order(tmp_path: Path, **changes: Any) -> Order:
    """Ten frames into a folder ``out`` that need not be there."""
    return Order(**{"output": tmp_path / "out", "frames": 10, "settings": {"steps": [1000, 500]}} | changes)


def made(pipeline: Pipeline[Any], items: list[Item], wanted: Order, seed: int = 3) -> Report:
    """Run a list and keep quiet."""
    jobs = plan(items, seed)
    return run(pipeline, jobs, wanted, ProgressBar(len(jobs), io.StringIO()))


def generated(pipeline: FakePipeline) -> int:
    """How many chunks were made."""
    return [name for name, _ in pipeline.calls].count("generate")


def names(folder: Path) -> list[str]:
    """The files of a folder."""
    return sorted(file.name for file in folder.iterdir())


def test_every_item_is_a_video_and_a_note_of_what_it_was_made_of(tmp_path: Path) -> None:
    """Files are named by number and first words; a note tells prompt, picture, seed, model, frames, settings."""
    a = picture(tmp_path)
    items = [Item("The leaves begin to sway gently", a), Item("Snow", a)]
    report = made(FakePipeline(), items, order(tmp_path))
    assert report == Report(made=["0001-the-leaves-begin-to-sway", "0002-snow"])
    out = tmp_path / "out"
    assert names(out) == sorted(f"{name}.{kind}" for name in report.made for kind in ("mp4", "json"))
    with av.open(str(out / "0002-snow.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    note = json.loads((out / "0001-the-leaves-begin-to-sway.json").read_text())
    assert note == {
        "prompt": "The leaves begin to sway gently",
        "picture": str(a),
        "picture_sha256": hashlib.sha256(a.read_bytes()).hexdigest(),
        "seed": 3,
        "frames": 10,
        "quality": 0,
        "model": "fake",
        "mode": "i2v",
        "config": {"steps": [1000, 500]},
        "video_bytes": (out / "0001-the-leaves-begin-to-sway.mp4").stat().st_size,
    }


def test_an_item_does_not_depend_on_the_others(tmp_path: Path) -> None:
    """Every item has the same seed, so its video is the same in any list."""
    a = picture(tmp_path)
    assert {job.seed for job in plan([Item("x"), Item("y"), Item("z")], 7)} == {7}
    made(FakePipeline(), [Item("snow", a)], order(tmp_path, output=tmp_path / "alone"))
    made(FakePipeline(), [Item("snow", a), Item("pan", a)], order(tmp_path))
    assert (tmp_path / "alone" / "0001-snow.mp4").read_bytes() == (tmp_path / "out" / "0001-snow.mp4").read_bytes()


def test_samples_have_the_seeds_that_follow() -> None:
    """Three samples of an item have three seeds and names, from the given seed on."""
    jobs = plan([Item("snow"), Item("pan")], 7, samples=3)
    assert [(job.name, job.seed) for job in jobs][2:4] == [("0001-snow-seed9", 9), ("0002-pan-seed7", 7)]


def test_what_is_finished_stays(tmp_path: Path) -> None:
    """A second run of the same list makes nothing; of a longer one, what is new."""
    a = picture(tmp_path)
    made(FakePipeline(), [Item("snow", a)], order(tmp_path))
    pipeline = FakePipeline()
    assert made(pipeline, [Item("snow", a)], order(tmp_path)) == Report(kept=["0001-snow"])
    assert generated(pipeline) == 0
    longer = made(pipeline, [Item("snow", a), Item("pan", a)], order(tmp_path))
    assert longer == Report(made=["0002-pan"], kept=["0001-snow"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": 11}, "frames"),
        ({"quality": 1}, "quality"),
        ({"settings": {"steps": [1000]}}, "config"),
        ({"seed": 4}, "seed"),
        ({"red": 100}, "picture_sha256"),
        ({"prompt": "Snow!"}, "prompt"),
        ({"modes": ("t2v", "i2v"), "picture": None}, "picture_sha256, mode"),
    ],
)
def test_what_was_made_otherwise_is_made_again(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """Whatever the video follows from, when it changes the item is made again, and the change is named."""
    a = picture(tmp_path)
    made(FakePipeline(), [Item("snow", a)], order(tmp_path))
    picture(tmp_path, red=changes.pop("red", 200))
    item = Item(changes.pop("prompt", "snow"), changes.pop("picture", a))
    seed, pipeline, log = changes.pop("seed", 3), FakePipeline(modes=changes.pop("modes", ("i2v",))), io.StringIO()
    report = run(pipeline, plan([item], seed), order(tmp_path, **changes), ProgressBar(1, log))
    assert report.made == ["0001-snow"]
    assert f"made again, since other: {said}," in log.getvalue()
    assert made(pipeline, [item], order(tmp_path, **changes), seed).kept == ["0001-snow"]


def test_force_makes_it_again(tmp_path: Path) -> None:
    """With force what is finished is made all the same."""
    a = picture(tmp_path)
    made(FakePipeline(), [Item("snow", a)], order(tmp_path))
    assert made(FakePipeline(), [Item("snow", a)], order(tmp_path, force=True)).made == ["0001-snow"]


@pytest.mark.parametrize("damage", ["no video", "half a video", "no note", "half a note", "another note"])
def test_what_is_not_whole_is_made_again(tmp_path: Path, damage: str) -> None:
    """A video that is missing, or not as its note says, or without a note, does not count as finished."""
    a = picture(tmp_path)
    made(FakePipeline(), [Item("snow", a)], order(tmp_path))
    video, note = (tmp_path / "out" / f"0001-snow.{kind}" for kind in ("mp4", "json"))
    whole = video.read_bytes()
    match damage:
        case "no video":
            video.unlink()
        case "half a video":
            video.write_bytes(whole[: len(whole) // 2])
        case "no note":
            note.unlink()
        case "half a note":
            note.write_text(note.read_text()[:40])
        case _:
            note.write_text("[]")
    assert made(FakePipeline(), [Item("snow", a)], order(tmp_path)).made == ["0001-snow"]
    assert video.read_bytes() == whole


def test_a_bad_item_does_not_end_the_run(tmp_path: Path) -> None:
    """No picture, no picture file, a refused prompt, a faulty line: each is told, and the rest is made."""
    a = picture(tmp_path)
    (tmp_path / "b.png").write_text("no picture")
    items = [
        Item("missing", tmp_path / "none.png"),
        Item("broken", tmp_path / "b.png"),
        Item(REFUSE, a),
        Item("words", fault="line 4 is odd"),
        Item("snow", a),
    ]
    report = made(FakePipeline(), items, order(tmp_path))
    assert report.made == ["0005-snow"]
    said = dict(report.failed)
    assert "none.png: No such file" in said["0001-missing"]
    assert "no JPEG, PNG or WebP" in said["0002-broken"]
    assert said["0004-words"] == "line 4 is odd"
    assert len(said) == 4
    assert names(tmp_path / "out") == ["0005-snow.json", "0005-snow.mp4"]


def test_a_bad_item_gives_its_place_back(tmp_path: Path) -> None:
    """More refused items than a model has places for leave the next one its place."""
    a, pipeline = picture(tmp_path), FakePipeline(max_streams=1)
    assert made(pipeline, [Item(REFUSE, a)] * 3 + [Item("snow", a)], order(tmp_path)).made == ["0004-snow"]
    assert pipeline.open_states == 0


def test_a_mistake_of_ours_is_not_hidden(tmp_path: Path) -> None:
    """What is no error of the pipeline's own kind ends the run with its trace, and leaves no half file."""
    with pytest.raises(ZeroDivisionError):
        made(FakePipeline(), [Item(FAIL, picture(tmp_path))], order(tmp_path))
    assert names(tmp_path / "out") == []


def test_ctrl_c_leaves_no_half_file_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """Stopped in the second item, the first is whole, the second not there; the same list again makes the rest."""
    a = picture(tmp_path)
    items = [Item("snow", a), Item("stop", a), Item("pan", a)]
    stopped = made(Interrupted(), items, order(tmp_path))
    assert stopped == Report(made=["0001-snow"], is_stopped=True)
    assert names(tmp_path / "out") == ["0001-snow.json", "0001-snow.mp4"]
    assert made(FakePipeline(), items, order(tmp_path)) == Report(made=["0002-stop", "0003-pan"], kept=["0001-snow"])


def test_a_redo_that_is_stopped_does_not_count_as_finished(tmp_path: Path) -> None:
    """Where making again is stopped, the old video stays and is made again next time."""
    a = picture(tmp_path)
    made(FakePipeline(), [Item("stop", a)], order(tmp_path))
    assert made(Interrupted(), [Item("stop", a)], order(tmp_path, frames=12)).is_stopped
    assert names(tmp_path / "out") == ["0001-stop.mp4"]
    assert made(FakePipeline(), [Item("stop", a)], order(tmp_path)).made == ["0001-stop"]


@pytest.mark.parametrize(
    ("modes", "from_pictures", "instead"), [(("i2v",), False, "--pairs"), (("t2v",), True, "--prompts")]
)
def test_a_model_is_asked_only_for_what_it_can_do(modes: tuple[Any, ...], from_pictures: bool, instead: str) -> None:
    """A list of the wrong kind is refused with what to give in its place; the right kind is not."""
    with pytest.raises(ConfigError, match=f"fake makes video from .*: give {instead}"):
        check_mode(FakePipeline(modes=modes), from_pictures)
    check_mode(FakePipeline(modes=modes), not from_pictures)


async def test_the_file_is_that_of_a_stream(tmp_path: Path) -> None:
    """A picture file, a prompt and a seed give the very file that the frames of a live stream would give."""
    source = tmp_path / "a.png"
    waves = Image.fromarray(pocket_parts.picture(height=500, width=900))
    exif = Image.Exif()
    exif[0x0112] = 6
    waves.save(source, exif=exif)
    studio = Studio(pipeline=Mirror())
    try:
        data = source.read_bytes()
        await studio.stream.upload_complete(studio.director, await studio.announce(data), data)
        await studio.do(SetPrompt, prompt="pan left")
        await studio.do(Start, seed=11)
        await studio.clock.advance(1.5)
    finally:
        await studio.close()
    shown = np.stack(studio.sink.pixels)
    assert len(shown) > 16
    jobs = [Job(Item("pan left", source), 11, "video")]
    assert run(Mirror(), jobs, Order(tmp_path, len(shown)), ProgressBar(1, io.StringIO())).made == ["video"]
    write_mp4(tmp_path / "live.mp4", [Chunk(0, 0, 0, 1, shown, Mirror().format.fps, 1, 0)])
    assert (tmp_path / "video.mp4").read_bytes() == (tmp_path / "live.mp4").read_bytes()
