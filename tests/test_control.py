from hypothesis import given
from hypothesis import strategies as st

from stream.control import Control
from tests.fakes import FakePicture


def test_commands_fold_into_one_snapshot() -> None:
    """A snapshot has the newest of everything asked, and does not change with what is asked later."""
    control: Control[FakePicture, str] = Control("i2v")
    picture = FakePicture(9)
    control.set_prompt("one", "auto", "a")
    control.set_picture(picture, "b")
    control.begin_take(5, "c")
    control.set_prompt("two", "blend", "d", 2.5)
    conditioning = control.snapshot(2).conditioning
    control.set_prompt("three", "auto", "e")
    assert (conditioning.prompt, conditioning.policy, conditioning.over_s) == ("two", "blend", 2.5)
    assert conditioning.seed == 5
    assert (conditioning.quality, conditioning.revision, conditioning.mode) == (2, 4, "i2v")
    assert conditioning.image is not None
    assert conditioning.image[0, 0, 0] == 9


def test_an_overtaken_command_is_answered_with_the_one_that_overtook_it() -> None:
    """A chunk answers every command up to its revision, oldest first, and each once."""
    control: Control[FakePicture, str] = Control("i2v")
    control.set_prompt("one", "auto", "first")
    control.begin_take(1, "start")
    control.set_prompt("two", "auto", "second")
    revision = control.snapshot(0).conditioning.revision
    control.set_prompt("three", "auto", "third")
    assert control.answered_by(revision) == ["first", "start", "second"]
    assert control.answered_by(revision) == []
    assert control.answered_by(revision + 1) == ["third"]


def test_a_picture_in_t2v_is_kept_until_the_mode_turns() -> None:
    """In t2v a picture conditions nothing and is answered only by the first chunk after the mode turned."""
    control: Control[FakePicture, str] = Control("t2v")
    control.set_picture(FakePicture(1), "picture")
    control.set_prompt("x", "auto", "prompt")
    assert control.snapshot(0).conditioning.image is None
    assert control.answered_by(control.revision) == ["prompt"]
    control.set_mode("i2v", "mode")
    assert control.snapshot(0).conditioning.image is not None
    assert control.answered_by(control.revision) == ["mode", "picture"]


def test_takes() -> None:
    """A start, a reset, another mode and a picture in i2v begin a take; a prompt does not."""
    control: Control[FakePicture, str] = Control("i2v")
    takes = [control.take]
    control.begin_take(1, "")
    takes.append(control.take)
    control.set_picture(FakePicture(1), "")
    takes.append(control.take)
    control.set_prompt("x", "auto", "")
    control.set_mode("i2v", "")
    takes.append(control.take)
    control.set_mode("t2v", "")
    takes.append(control.take)
    assert takes == [0, 1, 2, 2, 3]


def test_a_stop_gives_up_takes_alone() -> None:
    """What a stop overtakes are takes; a prompt waits for the next start."""
    control: Control[FakePicture, str] = Control("i2v")
    control.begin_take(1, "start")
    control.set_prompt("x", "auto", "prompt")
    assert control.abandon_take() == ["start"]
    control.begin_take(2, "again")
    assert control.answered_by(control.revision) == ["prompt", "again"]


@given(st.lists(st.sampled_from(["prompt", "mode", "picture", "take", "chunk"]), max_size=40))
def test_every_command_is_answered_once(steps: list[str]) -> None:
    """Whatever the order of commands and chunks, each command is answered exactly once."""
    control: Control[FakePicture, int] = Control("i2v")
    answered: list[int] = []
    given_at: dict[int, int] = {}
    for number, step in enumerate(steps):
        match step:
            case "prompt":
                control.set_prompt(str(number), "auto", number)
            case "mode":
                control.set_mode("t2v" if number % 2 else "i2v", number)
            case "picture":
                control.set_picture(FakePicture(number), number)
            case "take":
                control.begin_take(number, number)
            case _:
                answered += control.answered_by(control.snapshot(0).conditioning.revision)
                continue
        given_at[number] = number
    control.set_mode("i2v", -1)
    answered += control.answered_by(control.revision)
    assert sorted(answered) == sorted([*given_at, -1])


def test_a_picture_comes_in_as_asked() -> None:
    """The newest picture's way in stands for its whole take, and for no other."""
    control: Control[FakePicture, str] = Control("i2v")
    control.begin_take(1, "start")
    control.set_picture(FakePicture(1), "early", "blend", 2.0)
    first = control.snapshot(0).conditioning
    assert (first.enter, first.enter_s, control.carries) == ("cut", 0.0, False)
    control.set_picture(FakePicture(2), "a", "flush", 0.5)
    control.set_picture(FakePicture(3), "b", "blend", 2.0)
    control.set_prompt("snow", "auto", "c")
    for _ in range(2):
        asked = control.snapshot(0).conditioning
        assert (asked.enter, asked.enter_s, control.carries) == ("blend", 2.0, True)
    control.set_picture(FakePicture(4), "d")
    assert control.snapshot(0).conditioning.enter == "cut"
    control.set_picture(FakePicture(5), "e", "flush", 0.5)
    control.begin_take(2, "reset")
    assert control.snapshot(0).conditioning.enter == "cut"


def test_what_ends_a_take_is_not_undone_by_a_picture() -> None:
    """A reset that waits for its chunk begins anew, whatever way a picture after it was to come in."""
    control: Control[FakePicture, str] = Control("i2v")
    control.begin_take(1, "start")
    control.snapshot(0)
    control.begin_take(2, "reset")
    control.set_picture(FakePicture(1), "picture", "blend", 2.0)
    assert control.snapshot(0).conditioning.enter == "cut"


def test_a_take_that_is_gone_back_to_knows_how_its_prompt_comes_in() -> None:
    """A prompt may have been saved before a chunk was made under it; another's policy since is not its own."""
    control: Control[FakePicture, str] = Control("i2v")
    control.set_prompt("snow", "blend", "a", 2.5)
    kept = control.restart(b"saved")
    control.set_prompt("rain", "cut", "b")
    control.go_back(kept, "c")
    snapshot = control.snapshot(0)
    assert (snapshot.conditioning.prompt, snapshot.saved) == ("snow", b"saved")
    assert (snapshot.conditioning.policy, snapshot.conditioning.over_s) == ("blend", 2.5)
