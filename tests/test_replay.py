"""The log of a live stream makes its video again: the same bytes, or better ones, by the command line."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.generate import DONE, MISUSED, main
from pipeline.identity import settings_of
from pipeline.interface import Pipeline
from pipeline.replay import Remade, overrides_of, replay, write_replay
from pipeline.session import Session, picture_sha256, read_session
from pipeline.types import Capabilities
from stream.config import StreamConfig
from stream.picture import Picture
from stream.protocol import Bookmark, Configure, Pause, Reset, Resume, Rewind, SetMode, SetPrompt, Start, Stop, UseFrame
from stream.session_log import SessionLogs
from tests import pocket_parts, wan_parts
from tests.fakes import FakePipeline
from tests.pocket_parts import made_once as made_once
from tests.studio import Studio

pytestmark = pytest.mark.usefixtures("one_thread", "made_once")


def describe() -> dict[str, Any]:
    """What a server tells of its model."""
    return {"model": "toy", "weights": {}, "settled": [], "config": settings_of(ModelConfig(steps=3), WanConfig())}


async def film(
    folder: Path, pipeline: Pipeline[Any], direct: Callable[[Studio], Any], stacked: bool = True
) -> tuple[Session, np.ndarray]:
    """Direct a stream, and give its log with the frames that were sent, unless those are of several sizes."""
    studio = Studio(pipeline=pipeline, sessions=SessionLogs.of(StreamConfig(session_logs=str(folder)), describe))
    try:
        await direct(studio)
    finally:
        await studio.close()
    return read_only(folder), np.stack(studio.sink.pixels if stacked else studio.sink.pixels[:1])


def read_only(folder: Path) -> Session:
    """Read the only log of a folder."""
    (path,) = folder.glob("*.jsonl")
    return read_session(path)


def frames(remade: list[Remade]) -> np.ndarray:
    """All frames of a replay."""
    return np.concatenate([made.chunk.frames for made in remade])


class OneMore(FakePipeline):
    """The fake with another rung after the first, of the same rate."""

    __slots__ = ()

    @property
    def capabilities(self) -> Capabilities:
        told = super().capabilities
        return replace(told, quality=(told.quality[0], replace(told.quality[0], name="more"), *told.quality[1:]))


async def direct_pictures(studio: Studio) -> None:
    """Prompts, a pause with a change in it, a slower rate, pictures, one of its own frames, a reset, a new start."""
    await studio.upload()
    await studio.do(Start, seed=11)
    await studio.clock.advance(0.4)
    await studio.do(SetPrompt, prompt="pan left")
    await studio.clock.advance(0.6)
    await studio.do(Pause)
    await studio.do(SetPrompt, prompt="night")
    await studio.clock.advance(0.3)
    await studio.do(Resume)
    await studio.clock.advance(0.4)
    await studio.upload(red=200)
    await studio.do(Configure, fps=8, bitrate_kbps=None, latency=None)
    await studio.clock.advance(0.6)
    await studio.do(Reset, seed=5)
    await studio.clock.advance(0.6)
    await studio.do(Stop)
    await studio.do(Start, seed=6)
    await studio.clock.advance(0.4)
    await studio.do(UseFrame)
    await studio.captured()
    await studio.clock.advance(0.5)


async def direct_swaps(studio: Studio) -> None:
    """Pictures by flush and by blend, one over another, before anything of one is sent, and after such a cut."""
    await studio.upload()
    await studio.do(Start, seed=11)
    await studio.do(SetPrompt, prompt="pan left")
    await studio.clock.advance(0.6)
    await studio.upload(red=200, policy="blend", over_s=0.7)
    await studio.clock.advance(0.4)
    await studio.do(UseFrame, policy="flush")
    await studio.captured()
    await studio.clock.advance(0.5)
    await studio.do(Configure, latency="smooth")
    await studio.clock.advance(0.7)
    for first in ("cut", "flush"):
        await studio.upload(red=60, policy=first)
        await studio.clock.advance(0.12)
        await studio.do(Pause)
        await studio.upload(red=250, policy="blend", over_s=0.5)
        await studio.do(Resume)
        await studio.clock.advance(0.8)


async def test_pictures_that_came_in_while_it_ran(tmp_path: Path) -> None:
    """A swap out of a running take is made again out of the same moment of it."""
    session, sent = await film(tmp_path, pocket_parts.pipeline(), direct_swaps)
    model = pocket_parts.pipeline()
    remade = list(replay(model, session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    entries = [[session.conditionings[number]["enter"] for number, _ in chunk.opened] for chunk in session.chunks]
    assert [entry for entry in entries if entry] == [
        ["cut"],
        ["blend"],
        ["flush"],
        ["cut", "blend"],
        ["flush", "blend"],
    ]
    assert model._open == 0


async def direct_bookmarks(studio: Studio) -> None:
    """A bookmark, and back to it; a blend that comes before anything of that is sent."""
    await studio.upload()
    await studio.do(Start, seed=11)
    await studio.do(SetPrompt, prompt="pan left")
    await studio.clock.advance(0.5)
    number = await studio.do(Bookmark)
    await studio.clock.advance(0.3)
    async with asyncio.timeout(5):
        while studio.answer(number)["type"] != "bookmarked":
            await studio.clock.advance(0.01)
    bookmark = studio.answer(number)["bookmark"]
    await studio.do(SetPrompt, prompt="night")
    await studio.clock.advance(0.4)
    await studio.do(Rewind, bookmark=bookmark)
    await studio.clock.advance(0.5)


async def test_a_take_that_goes_on_from_a_bookmark(tmp_path: Path) -> None:
    """The state that was gone back to lies beside the log, by its hash."""
    session, sent = await film(tmp_path, pocket_parts.pipeline(), direct_bookmarks)
    remade = list(replay(pocket_parts.pipeline(), session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    (saved,) = {saved for chunk in session.chunks for _, saved in chunk.opened} - {""}
    path = tmp_path / "states" / f"{saved}.bin"
    path.write_bytes(b"other")
    with pytest.raises(ConfigError, match="its hash is another"):
        list(replay(pocket_parts.pipeline(), session))
    path.unlink()
    with pytest.raises(ConfigError, match="can't be read"):
        list(replay(pocket_parts.pipeline(), session))


async def direct_modes(studio: Studio) -> None:
    """Text, then a picture, under changing prompts."""
    await studio.do(SetMode, mode="t2v")
    await studio.do(SetPrompt, prompt="a lake")
    await studio.do(Start, seed=2)
    await studio.clock.advance(1.3)
    await studio.do(SetPrompt, prompt="a lake at night")
    await studio.clock.advance(1.0)
    await studio.do(Pause)
    await studio.clock.advance(0.3)
    await studio.do(Resume)
    await studio.upload(red=120)
    await studio.do(SetMode, mode="i2v")
    await studio.clock.advance(1.2)
    await studio.upload(red=50)
    await studio.clock.advance(0.8)


async def test_pocket_again_byte_for_byte(tmp_path: Path) -> None:
    """What pocket sent live under every kind of command is what the log makes, in order and nothing else."""
    session, sent = await film(tmp_path, pocket_parts.pipeline(), direct_pictures)
    remade = list(replay(pocket_parts.pipeline(), session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    assert len({chunk.take for chunk in session.chunks}) == 5
    assert len({chunk.quality for chunk in session.chunks}) > 1
    assert len(list((tmp_path / "pictures").iterdir())) == 3


async def direct_shapes(studio: Studio) -> None:
    """A landscape, a portrait that comes into it, a reset, which turns the video, and a landscape in that."""
    for picture in (pocket_parts.picture(), pocket_parts.picture(1, 900, 500), pocket_parts.picture()):
        sha256 = picture_sha256(picture)
        kept = Picture(picture, picture.shape[1], picture.shape[0], sha256, (0, 0, 0, 0))
        studio.stream.generation.set_picture(kept, ("cut", 0.0), lambda shown: None)
        if studio.stream.state == "idle":
            await studio.do(Start, seed=3)
        await studio.clock.advance(0.6)
        await studio.do(Reset)
        await studio.clock.advance(0.6)


async def test_a_stream_of_several_shapes_again(tmp_path: Path) -> None:
    """Every take is opened in its size, whatever its picture's shape, and the file shows all of them in one."""
    fake = FakePipeline(more_sizes=((32, 64),))
    session, _ = await film(tmp_path, fake, direct_shapes, stacked=False)
    remade = list(replay(FakePipeline(more_sizes=((32, 64),)), session))
    assert all(made.is_same for made in remade)
    sizes = [made.chunk.frames.shape[1:3] for made in remade]
    assert [size for size, _ in groupby(sizes)] == [(32, 64), (64, 32), (32, 64)]
    assert len({number for chunk in session.chunks for number, _ in chunk.opened}) >= 5
    tally = write_replay(fake, session, tmp_path / "out.mp4")
    assert tally.same == tally.chunks
    with av.open(str(tmp_path / "out.mp4")) as container:
        shown = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert {frame.shape for frame in shown} == {(32, 64)}
    turned = next(frame for number, frame in enumerate(shown) if number >= 16 and frame[:, :20].mean() < 20)
    assert turned[:, 26:38].mean() > 60 > turned[:, 46:].mean() + 40


def test_a_log_from_before_there_were_shapes(tmp_path: Path) -> None:
    """Its pictures were all cropped to one size, and are again."""
    header = {"type": "session", "version": 1, "settled": [], "config": {"model": {"kind": "pocket", "width": 416}}}
    log = tmp_path / "a.jsonl"
    log.write_text(json.dumps(header) + "\n")
    assert overrides_of(read_session(log)) == ["model.shapes=[]", "model.kind=pocket", "model.width=416"]


@pytest.mark.parametrize(("fps", "rungs"), [(12, {0, 2}), (8, {0, 3})])
async def test_a_log_from_before_there_was_a_rung(tmp_path: Path, fps: int, rungs: set[int]) -> None:
    """Where another rung of the same rate has come in above it, a chunk is made at the rung that has its rate."""

    async def direct(studio: Studio) -> None:
        await studio.go_live()
        await studio.do(Configure, fps=fps)
        await studio.clock.advance(1.0)

    session, sent = await film(tmp_path, FakePipeline(), direct)
    remade = list(replay(OneMore(seconds=(0.0,) * 4), session))
    assert {made.chunk.quality for made in remade} == rungs
    assert len(frames(remade)) == len(sent)


async def test_at_another_rate_as_much_of_it_is_made(tmp_path: Path) -> None:
    """At the best quality each latent has its four frames, and of a chunk that was overtaken the same part is kept."""
    session, _ = await film(tmp_path, FakePipeline(), direct_pictures)
    best = list(replay(FakePipeline(), session, quality=0))
    assert {made.chunk.fps for made in best} == {16}
    wanted = [Fraction(session.sent(number)) / chunk.fps for number, chunk in enumerate(session.chunks)]
    assert [Fraction(len(made.chunk.frames), 16) for made in best] == wanted
    assert not all(made.is_same for made in best)


@pytest.mark.parametrize("first_alone", [False, True])
async def test_wan_again_byte_for_byte(tmp_path: Path, first_alone: bool) -> None:
    """So does Wan, from text and from pictures, with the take's opening prompt read from the log."""
    plan = replace(wan_parts.PLAN, first_alone=first_alone)
    session, sent = await film(tmp_path, wan_parts.pipeline(plan), direct_modes)
    remade = list(replay(wan_parts.pipeline(plan), session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    assert {made.prompt for made in remade} == {"a lake", "a lake at night"}


async def direct_scenes(studio: Studio) -> None:
    """Words alone, another scene, a picture, words again, and a frame of theirs; few frames a second."""
    await studio.do(Configure, fps=4, bitrate_kbps=None, latency=None)
    await studio.do(SetMode, mode="t2v")
    await studio.do(SetPrompt, prompt="a lake at night")
    await studio.do(Start, seed=2)
    await studio.clock.advance(0.6)
    await studio.do(SetPrompt, prompt="a forest", policy="blend", over_s=0.8)
    await studio.clock.advance(0.6)
    await studio.upload(red=120)
    await studio.do(SetMode, mode="i2v")
    await studio.clock.advance(0.6)
    await studio.do(SetMode, mode="t2v")
    await studio.do(SetPrompt, prompt="mountains at dawn, snow falls")
    await studio.clock.advance(0.6)
    await studio.do(UseFrame)
    await studio.captured()
    await studio.do(SetMode, mode="i2v")
    await studio.clock.advance(0.6)


async def test_pocket_from_words_again(tmp_path: Path) -> None:
    """A stream that began with words alone, was given a picture and went back to words is made again to the byte."""
    session, sent = await film(tmp_path, pocket_parts.pipeline(), direct_scenes)
    model = pocket_parts.pipeline()
    remade = list(replay(model, session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    modes = [session.conditionings[chunk.under]["mode"] for chunk in session.chunks]
    assert [mode for mode, _ in groupby(modes)] == ["t2v", "i2v", "t2v", "i2v"]
    assert len({chunk.take for chunk in session.chunks}) >= 4
    assert model._open == 0


async def direct_cuts(studio: Studio) -> None:
    """Prompts that come in the middle of chunks of two latents, which are cut between them."""
    await studio.do(SetMode, mode="t2v")
    await studio.do(Start, seed=2)
    await studio.clock.advance(2.2)
    for prompt in ("snow", "rain", "night"):
        await studio.do(Pause)
        await studio.do(SetPrompt, prompt=prompt)
        await studio.do(Resume)
        await studio.clock.advance(0.7)


async def direct_switches(studio: Studio) -> None:
    """Every policy that the model has, into running and cut chunks, one over another before anything of it is sent."""
    policies = studio.engine.capabilities.policies
    await studio.clock.advance(1.2)
    for number, policy in enumerate(("blend", *policies)):
        await studio.do(SetPrompt, prompt=f"prompt {number} of snow", policy=policy, over_s=0.9)
        await studio.clock.advance(0.4 + 0.3 * (number % 2))
    for policy in policies:
        await studio.do(Pause)
        await studio.do(SetPrompt, prompt=f"a lake by {policy}", policy=policy, over_s=0.9)
        await studio.do(SetPrompt, prompt=f"a storm by {policy}", policy="blend", over_s=0.6)
        await studio.do(Resume)
        await studio.clock.advance(0.7)


async def direct_switches_from_a_picture(studio: Studio) -> None:
    """The same in i2v."""
    await studio.upload()
    await studio.do(Start, seed=2)
    await direct_switches(studio)


async def direct_switches_from_text(studio: Studio) -> None:
    """The same in t2v."""
    await studio.do(SetMode, mode="t2v")
    await studio.do(Start, seed=2)
    await direct_switches(studio)


@pytest.mark.parametrize("kind", ["pocket", "t2v", "i2v"])
async def test_switches_again_byte_for_byte(tmp_path: Path, kind: str) -> None:
    """However prompts came in, the log makes the same video, and tells how they did."""
    plan = replace(wan_parts.PLAN, window=8)
    make = pocket_parts.pipeline if kind == "pocket" else lambda: wan_parts.pipeline(plan)
    direct = direct_switches_from_text if kind == "t2v" else direct_switches_from_a_picture
    session, sent = await film(tmp_path, make(), direct)
    model = make()
    remade = list(replay(model, session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    under = [session.conditionings[chunk.under] for chunk in session.chunks]
    assert {line["policy"] for line in under} >= set(model.capabilities.policies)
    assert {line["over_s"] for line in under} >= {0.9, 0.6}


async def test_chunks_that_were_cut(tmp_path: Path) -> None:
    """A chunk that was cut between its latents is made whole, and the model goes back to the cut."""
    session, sent = await film(tmp_path, wan_parts.pipeline(), direct_cuts)
    remade = list(replay(wan_parts.pipeline(), session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    assert any(after.latent < chunk.latent + chunk.latents for chunk, after in pairwise(session.chunks))


async def direct_prompts_at_every_phase(studio: Studio) -> None:
    """Prompts that come at all places of a latent."""
    await studio.go_live()
    for number in range(4):
        await studio.do(SetPrompt, prompt=f"snow {number}")
        await studio.clock.advance(0.36)


async def test_latents_that_were_made_again_midway(tmp_path: Path) -> None:
    """The frames before are the old chunk's, those after the new one's; at another rate nothing is missed or twice."""
    session, sent = await film(tmp_path, pocket_parts.pipeline(), direct_prompts_at_every_phase)
    assert {chunk.skip for chunk in session.chunks} > {0}
    remade = list(replay(pocket_parts.pipeline(), session))
    assert np.array_equal(frames(remade), sent)
    assert all(made.is_same for made in remade)
    slower = list(replay(pocket_parts.pipeline(), session, quality=3))
    assert {made.chunk.fps for made in slower} == {8}
    shown = [made.chunk.first_frame + number for made in slower for number in range(len(made.chunk.frames))]
    assert shown == list(range(len(shown)))


async def direct_a_remade_take(studio: Studio) -> None:
    """The first chunk of a take is made, and made again under a prompt that comes before anything of it is sent."""
    await studio.go_live()
    await studio.do(Configure, latency="smooth")
    await studio.clock.advance(1.5)
    await studio.upload(red=50)
    await studio.clock.advance(0.25)
    await studio.do(Pause)
    await studio.do(SetPrompt, prompt="a lake in snow")
    await studio.do(Resume)
    await studio.clock.advance(1.2)


async def test_a_take_is_opened_as_it_was(tmp_path: Path) -> None:
    """A take is opened under what it was opened under live, though no frame of that was sent."""
    session, sent = await film(tmp_path, FakePipeline(latents_per_chunk=2), direct_a_remade_take)
    fake = FakePipeline(latents_per_chunk=2)
    assert np.array_equal(frames(list(replay(fake, session))), sent)
    assert [revision for name, revision in fake.calls if name == "open"] == [2, 3]
    (begun,) = [chunk for chunk in session.chunks if chunk.latent == 0][1:]
    numbers = begun.opened[0][0], begun.under
    assert [session.conditionings[number]["revision"] for number in numbers] == [3, 4]


async def test_a_remade_chunk_is_followed_by_its_latent(tmp_path: Path) -> None:
    """Where a model went back into a chunk of which a part was sent, so does the replay."""
    session, _ = await film(tmp_path, FakePipeline(latents_per_chunk=3), Studio.go_live)
    first, second = session.chunks[:2]
    back = replace(second, frame=first.frame + 4, latent=first.latent + 1)
    session.chunks[1:] = [back]
    session.frames = 16
    fake = FakePipeline(latents_per_chunk=3)
    assert [len(made.chunk.frames) for made in replay(fake, session)] == [4, 12]
    assert ("truncate", 1) in fake.calls
    assert fake.open_states == 0


async def test_other_chunks_are_refused(tmp_path: Path) -> None:
    """A model whose chunks have another number of latents can't follow a log."""
    session, _ = await film(tmp_path, FakePipeline(), Studio.go_live)
    with pytest.raises(ConfigError, match=r"leave model\.latents_per_chunk as it was"):
        list(replay(FakePipeline(latents_per_chunk=2), session))


async def direct_prompts(studio: Studio) -> None:
    """Two prompts, the second with what a subtitle format might take for markup."""
    await studio.do(SetPrompt, prompt="pan left")
    await studio.go_live()
    await studio.do(SetPrompt, prompt="{\\an8}snow, <b>снег</b>\\N")
    await studio.clock.advance(1.0)
    await studio.do(SetPrompt, prompt="")
    await studio.clock.advance(0.5)


def captions(path: Path) -> list[tuple[float, float, str]]:
    """Read the subtitle track of a file: (from, to, text) in seconds, without the gaps."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.subtitles
        assert stream.codec_context.name == "mov_text"
        read = [
            (packet.pts, packet.duration, bytes(packet)[2:], packet.time_base) for packet in container.demux(stream)
        ]
    return [
        (float(pts * tick), float((pts + (duration or 0)) * tick), text.decode())
        for pts, duration, text, tick in read
        if pts is not None and text
    ]


async def test_the_command_line_writes_a_video_with_subtitles(tmp_path: Path, capsys: Any) -> None:
    """--replay makes an MP4 of every frame, with each prompt for as long as it held, and says how exact it is."""
    session, sent = await film(tmp_path / "logs", FakePipeline(), direct_prompts)
    built: list[ModelConfig] = []

    def build(model: ModelConfig, *rest: object) -> Pipeline[Any]:
        built.append(model)
        return FakePipeline()

    words = ["--replay", str(session.path), "--output", str(tmp_path / "out")]
    assert main(words, build) == DONE
    out = tmp_path / "out" / f"{session.path.stem}.mp4"
    assert capsys.readouterr().out == f"{out}: all {len(session.chunks)} chunks are the live stream's, byte for byte\n"
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(sent)
    heard = [session.conditionings[chunk.under]["prompt"] for chunk in session.chunks]
    turns = [session.chunks[heard.index(text)].frame / 16 for text in dict.fromkeys(heard)]
    told = captions(out)
    assert [text for _, _, text in told] == ["pan left", "{\\an8}snow, <b>снег</b>\\N"]
    assert [time for begin, end, _ in told for time in (begin, end)] == pytest.approx(
        [turns[0], turns[1], turns[1], turns[2]], abs=0.001
    )
    assert main([*words, "model.steps=5", "--quality", "1"], build) == DONE
    assert "0 of" in capsys.readouterr().out
    assert [model.steps for model in built] == [3, 5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "version 99, and this Vivant reads 1"),
        ({"weights": {"pocket": "0" * 64}}, "made by other weights (pocket)"),
    ],
)
async def test_another_version_or_model_needs_force(
    tmp_path: Path, capsys: Any, change: dict[str, Any], said: str
) -> None:
    """Either is refused in one line; with --force the video is made all the same."""
    session, _ = await film(tmp_path, FakePipeline(), Studio.go_live)
    first, _, rest = session.path.read_text().partition("\n")
    session.path.write_text(json.dumps(json.loads(first) | change) + "\n" + rest)
    words = ["--replay", str(session.path), "--output", str(tmp_path / "out")]

    def build(*rest: object) -> Pipeline[Any]:
        return FakePipeline()

    assert main(words, build) == MISUSED
    told = capsys.readouterr().err
    assert said in told
    assert "--force" in told
    assert main([*words, "--force"], build) == DONE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seed", "3"), "got --seed"),
        (("--pairs", "x"), "got --pairs"),
        (("a.mp4",), "got a.mp4"),
        (("--config", "x.yaml"), "got --config"),
    ],
)
def test_what_the_log_says_is_not_said_again(tmp_path: Path, capsys: Any, words: tuple[str, ...], said: str) -> None:
    """--replay goes with settings and --quality alone, and needs a folder."""
    assert main(["--replay", "log", "--output", str(tmp_path), *words]) == MISUSED
    assert said in capsys.readouterr().err
    assert main(["--replay", "log"]) == MISUSED
    assert "needs --output DIR" in capsys.readouterr().err
