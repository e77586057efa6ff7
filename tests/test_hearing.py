"""What was understood of a prompt is told in plain words, what was not as it was typed."""

from __future__ import annotations

import torch

from pipeline.pocket.hearing import hear, heard
from pipeline.pocket.intents import CAMERAS, NAMED, REGIONS, Asked
from pipeline.pocket.language import DEFAULT_REGION
from pipeline.pocket.roles import ASKED, BEYOND, LEFT_OUT
from pipeline.types import Heard

WIDTH = 12


def asked(camera: str = "none", *effects: str, region: str = "", strength: float = 1.0, speed: float = 1.0) -> Asked:
    """A meaning: effects where they are by themselves, or all in ``region``."""
    places = [REGIONS.index(region or DEFAULT_REGION[name]) for name in NAMED]
    return Asked(
        torch.tensor([CAMERAS.index(camera)]),
        torch.tensor([speed]),
        torch.tensor([[name in effects for name in NAMED]]),
        torch.tensor([places]),
        torch.full((1, len(NAMED)), strength),
        torch.full((1, len(NAMED)), speed),
    )


def roles(*each: int) -> torch.Tensor:
    """Logits of a reader who is sure of each token's role."""
    padded = torch.tensor([*each, *[ASKED] * (WIDTH - len(each))])
    return 8.0 * torch.nn.functional.one_hot(padded, 3)[None].float()


def test_both_are_told() -> None:
    """What is asked for is named; the part beyond pocket is told as it was typed, without what joins it."""
    said = heard("Add a Dog and pan left", asked("pan_left"), roles(*[BEYOND] * 4, *[ASKED] * 2))
    assert said == Heard(("the camera pans left",), ("Add a Dog",))
    said = heard("pan left, while a dog barks!", asked("pan_left"), roles(*[ASKED] * 3, *[BEYOND] * 5))
    assert said.ignored == ("a dog barks",)


def test_amounts_and_places_are_told_where_they_are_not_usual() -> None:
    """Slow, fast, faint, strong and an unusual place are named, what goes without saying is not."""
    said = heard("rain", asked("none", "rain", region="left", strength=1.5), roles(ASKED))
    assert said.understood == ("rain, strong, on the left",)
    assert heard("waves", asked("none", "ripple"), roles(ASKED)).understood == ("ripples",)
    assert heard("pan", asked("pan_right", speed=0.5), roles(ASKED)).understood == ("the camera pans right, slowly",)


def test_nouns_say_where() -> None:
    """A wind that is heard on the subject moves leaves where leaves are what is named, and so it is told."""
    meaning, said = hear("a breeze moves the leaves", lambda text: (asked("none", "sway", region="subject"), roles()))
    assert REGIONS[int(meaning.region[0, NAMED.index("sway")])] == "foliage"
    assert said.understood == ("wind",)


def test_a_prompt_without_anything_for_pocket_is_all_ignored() -> None:
    """The drift that such a prompt gets was not asked for; where it was, it is told."""
    assert heard(" a castle ", asked("drift"), roles(BEYOND, BEYOND)) == Heard((), ("a castle",))
    assert heard("a nice castle", asked("drift"), roles(BEYOND, ASKED, ASKED)) == Heard((), ("a nice castle",))
    assert heard("animate it", asked("drift"), roles(ASKED, ASKED)) == Heard(("a gentle drift",), ())
    assert heard("", asked("drift"), roles()) == Heard((), ())
    assert heard("?!", asked("drift"), roles(BEYOND, BEYOND)) == Heard((), ("?!",))


def test_what_is_left_out_is_understood() -> None:
    """A denial is told as it was typed, among what was understood."""
    said = heard("pan left but no rain", asked("pan_left"), roles(ASKED, ASKED, LEFT_OUT, LEFT_OUT, LEFT_OUT))
    assert said == Heard(("the camera pans left", "“no rain”"), ())
    assert heard("no rain", asked("drift"), roles(LEFT_OUT, LEFT_OUT)) == Heard(("“no rain”",), ())


def test_a_lone_doubtful_word_goes_with_its_neighbours() -> None:
    """One token that is read otherwise than those around it does not tear a part in two."""
    unsure = roles(*[BEYOND] * 5)
    unsure[0, 2] = torch.tensor([3.0, 0.0, 2.5])
    assert heard("a cat on a sofa", asked("pan_left"), unsure).ignored == ("a cat on a sofa",)


def test_what_is_too_long_to_be_read_is_ignored() -> None:
    """Words behind the last that fits are told as not understood."""
    said = heard("pan " * WIDTH + "add dogs", asked("pan_left"), roles())
    assert said.ignored == ("add dogs",)


def test_wishes_are_read_plainly_and_told_as_they_were_typed() -> None:
    """What is read asks for the thing, whole and clause by clause; what can't be done is told in the words typed."""
    texts: list[str] = []

    def read(text: str) -> tuple[Asked, torch.Tensor]:
        texts.append(text)
        return asked("pan_left"), roles(*[BEYOND] * 6, *[ASKED] * 5)

    _, said = hear("I wish a dog would bark and pan left", read)
    assert said == Heard(("the camera pans left",), ("I wish a dog would bark",))
    assert texts == ["please let a dog now bark and pan left", "please let a dog now bark", "pan left"]


def test_clauses_are_read_alone_besides() -> None:
    """Where a whole prompt is read with doubt, what a clause says alone decides; the meaning is the whole prompt's."""
    texts: list[str] = []

    def read(text: str) -> tuple[Asked, torch.Tensor]:
        texts.append(text)
        unsure = 0.02 * roles(*[ASKED] * 6)
        return asked("pan_left"), roles(*[BEYOND] * 3) if text == "add a dog" else unsure

    meaning, said = hear("add a dog and pan left", read)
    assert int(meaning.camera) == CAMERAS.index("pan_left")
    assert said == Heard(("the camera pans left",), ("add a dog",))
    assert texts == ["add a dog and pan left", "add a dog", "pan left"]


def test_every_effect_has_words_of_its_own() -> None:
    """Each effect alone is told, in words that no other has."""
    told = [heard("x", asked("none", name), roles(ASKED)).understood for name in NAMED]
    assert all(len(one) == 1 for one in told)
    assert len(set(told)) == len(NAMED)
    assert heard("x", asked("still", "fire", "smoke"), roles(ASKED)).understood == (
        "the camera stays still", "flickering fire", "rising smoke",
    )  # fmt: skip


def test_a_mood_is_not_a_camera_that_stands_still() -> None:
    """What tells of calm alone gets a gentle life, more slowly, also where the text encoder takes it for stillness."""
    for text, taken_for, camera, speed in (
        ("a quiet moment", "still", "drift", 0.5),
        ("a quiet moment", "drift", "drift", 0.5),
        ("a quiet moment", "pan_left", "pan_left", 1.0),
        ("hold still", "still", "still", 1.0),
        ("an old photograph", "drift", "drift", 1.0),
    ):
        meaning, _ = hear(text, lambda _, one=taken_for: (asked(one), roles(ASKED, ASKED, ASKED)))
        assert (CAMERAS[int(meaning.camera)], float(meaning.camera_speed)) == (camera, speed)
