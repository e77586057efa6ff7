"""Pocket in t2v: a stream that begins with words alone, goes on, turns to other scenes, and is kept."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.offline import Shot, TimedPrompt, generate
from pipeline.pocket.painter.hearing import hear_painted, life_of
from pipeline.pocket.painter.words import painted, read_wish
from pipeline.state import StreamState
from pipeline.types import Chunk, Conditioning, Heard, Policy
from tests import pocket_parts
from tests.pocket_parts import made_once as made_once
from tests.pocket_parts import picture

pytestmark = pytest.mark.usefixtures("made_once")
LAKE, FOREST = "a lake at night", "a forest"


@pytest.fixture(scope="module")
def pocket() -> Iterator[CausalPipeline]:
    """One thread, as other tests of streams; the lowest rung makes the fewest frames."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield pocket_parts.pipeline(max_streams=64)
    torch.set_num_threads(threads)


def under(prompt: str, seed: int = 3) -> Conditioning:
    return Conditioning("t2v", prompt, None, seed, quality=3)


def play(model: CausalPipeline, state: StreamState, *prompts: str) -> list[Chunk]:
    made: list[Chunk] = []
    for prompt in prompts:
        made.append(model.generate_chunk(state, under(prompt)))
        model.commit(state)
    return made


def alike(ours: list[Chunk], theirs: list[Chunk]) -> bool:
    return all(np.array_equal(a.frames, b.frames) for a, b in zip(ours, theirs, strict=True))


def scene_of(state: StreamState) -> str:
    assert state.scenery is not None
    return state.scenery.described()


def test_words_alone_make_a_video(pocket: CausalPipeline) -> None:
    """The first frame is what was painted, the same again under the same seed and words, another under another seed."""
    assert pocket.capabilities.modes == ("i2v", "t2v")
    first, again = pocket.open(under(LAKE)), pocket.open(under(LAKE))
    made = play(pocket, first, LAKE)
    assert np.array_equal(made[0].frames[0], pocket_parts.beginning(pocket, first))
    made += play(pocket, first, LAKE)
    assert alike(made, play(pocket, again, LAKE, LAKE))
    assert scene_of(first) == "a lake, at night"
    other = pocket.open(under(LAKE, 4))
    assert not torch.equal(first.canvas.rest, other.canvas.rest)


def test_a_video_is_made_without_a_stream(pocket: CausalPipeline) -> None:
    """``generate`` makes as many frames as asked from words, of another scene from its second on."""
    shot = Shot((TimedPrompt(0, LAKE), TimedPrompt(0.25, FOREST)), None, 3, quality=3)
    chunks = list(generate(pocket, shot, 9))
    assert sum(len(chunk.frames) for chunk in chunks) == 9
    assert [chunk.heard.understood[0] for chunk in chunks if chunk.heard][:2] == [
        "a lake, at night (painted)", "a forest, by day (painted)",
    ]  # fmt: skip


def test_motion_keeps_the_scene_and_another_scene_fades_in(pocket: CausalPipeline) -> None:
    """Under a prompt of motion the picture stays; another scene comes by a cross-fade."""
    state = pocket.open(under(LAKE))
    play(pocket, state, LAKE, "the camera pans left")
    lake = state.canvas
    assert state.scenery is not None
    assert scene_of(state) == "a lake, at night"
    assert state.fade is None
    play(pocket, state, FOREST)
    assert scene_of(state) == "a forest, by day"
    assert state.fade is not None
    assert state.fade.before is lake
    assert state.canvas is not lake
    assert state.fade.share(state.now.latents) < 0.2
    assert state.fade.is_over(state.now.latents + 6)


def test_a_scene_that_was_thrown_away_leaves_no_trace(pocket: CausalPipeline) -> None:
    """Going back to before another scene was painted, and on, is never having asked for it."""
    state, plain = pocket.open(under(LAKE)), pocket.open(under(LAKE))
    play(pocket, state, LAKE, LAKE, LAKE, FOREST, FOREST, "mountains at dawn")
    pocket.truncate(state, 2)
    assert scene_of(state) == "a lake, at night"
    assert state.fade is None
    assert not state.looks
    assert alike(play(pocket, state, LAKE, "a forest"), play(pocket, plain, LAKE, LAKE, LAKE, "a forest")[2:])


def test_going_back_within_a_scene_keeps_it(pocket: CausalPipeline) -> None:
    """Going back to after another scene began makes what followed again, to the byte, the fade too."""
    state = pocket.open(under(LAKE))
    made = play(pocket, state, LAKE, FOREST, FOREST, FOREST)
    pocket.truncate(state, 2)
    assert scene_of(state) == "a forest, by day"
    assert len(state.looks) == 1
    assert alike(play(pocket, state, FOREST, FOREST), made[2:])


def test_pictures_of_earlier_scenes_are_let_go(pocket: CausalPipeline) -> None:
    """Once no frame of it can be thrown away any more, a scene holds no memory."""
    state = pocket.open(under(LAKE))
    play(pocket, state, LAKE, *[FOREST] * 10)
    assert not state.looks


def test_a_chunk_that_fails_leaves_the_scene(pocket: CausalPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first chunk of another scene can't be made, the stream is as it was before."""
    state, plain = pocket.open(under(LAKE)), pocket.open(under(LAKE))
    play(pocket, state, LAKE)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.causal.decode", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pocket.generate_chunk(state, under(FOREST))
    assert scene_of(state) == "a lake, at night"
    assert alike(play(pocket, state, LAKE), play(pocket, plain, LAKE, LAKE)[1:])


def test_a_saved_stream_goes_on_in_its_scene(pocket: CausalPipeline) -> None:
    """What was painted is kept, though the prompt of then no longer names it."""
    state = pocket.open(under(LAKE))
    play(pocket, state, LAKE, "the camera pans left")
    saved = pocket.save(state)
    other = pocket.open(under("the camera pans left"))
    assert scene_of(other) == "a lake, by day"
    pocket.restore(other, saved)
    assert scene_of(other) == "a lake, at night"
    pan = "the camera pans left"
    assert alike(play(pocket, state, pan, pan), play(pocket, other, pan, pan))


def test_both_modes_side_by_side(pocket: CausalPipeline) -> None:
    """A picture in t2v is not looked at, and a stream from a picture paints nothing, whatever its prompt names."""
    state = pocket.open(Conditioning("i2v", FOREST, picture(), 3, quality=3))
    chunk = pocket.generate_chunk(state, Conditioning("i2v", "a lake", picture(), 3, quality=3))
    assert state.scenery is None
    assert chunk.heard is not None
    assert not any("painted" in told for told in chunk.heard.understood)
    pocket.generate_chunk(pocket.open(under(LAKE)), under(LAKE))


def heard(prompt: str, rest: Heard) -> Heard:
    wish = read_wish(prompt)
    scenery = painted(wish)
    said = {wish.rest: rest, life_of(scenery): Heard(("waves",), ())}
    return hear_painted(wish, scenery, lambda text: (text, said[text]))[1]


def test_what_was_painted_is_told_and_what_can_not_be_is_too() -> None:
    """The scene, then its motion; a thing that pocket can't paint is ignored, and told so."""
    assert heard("a sea, the camera pans left", Heard(("the camera pans left",), ())) == Heard(
        ("the sea, by day (painted)", "the camera pans left"), ()
    )
    assert heard("a sea", Heard((), ())) == Heard(("the sea, by day (painted)", "waves"), ())
    for read in (Heard((), ("boat",)), Heard(("a gentle drift",), ())):
        assert heard("a sea with a boat", read) == Heard(("the sea, by day (painted)", "waves"), ("boat",))


def test_a_dog_on_a_bicycle_is_told(pocket: CausalPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that names no scene gets a lake, says so as long as it holds, and what was not understood."""
    told = Heard((), ("a dog on a bicycle",))
    monkeypatch.setattr("pipeline.pocket.texts.hear", lambda words, read: (read(words)[0], told))
    state = pocket.open(under("a dog on a bicycle"))
    made = play(pocket, state, "a dog on a bicycle", "a dog on a bicycle", "a cat")
    wanted = Heard(("no scene was named: a lake, by day (painted)",), ("a dog on a bicycle",))
    assert [chunk.heard for chunk in made] == [wanted, wanted, told]


@pytest.mark.parametrize(("policy", "latents"), [("cut", 0.0), ("blend", 8.0), ("auto", 6.0)])
def test_the_policy_says_how_another_scene_comes(pocket: CausalPipeline, policy: Policy, latents: float) -> None:
    """A cut is at once, a blend takes the seconds that were asked for, and by itself a scene fades in for 1.5 s."""
    state = pocket.open(under(LAKE))
    play(pocket, state, LAKE)
    pocket.generate_chunk(state, replace(under(FOREST), policy=policy, over_s=2.0))
    assert state.fade is not None
    assert state.fade.latents == latents
