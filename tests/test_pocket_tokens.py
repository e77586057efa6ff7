"""Prompts become words of a closed vocabulary; slips of typing are mended, and everything keeps its place."""

from __future__ import annotations

import sys

import pytest

from pipeline.networks.text_words import TextConfig
from pipeline.pocket import vocabulary as making
from pipeline.pocket.examples import EXAMPLES
from pipeline.pocket.tokens import PADDING, UNKNOWN, tokenizer, tokens, vocabulary


def ids(text: str) -> list[int]:
    return [token.id for token in tokens(text)]


def test_the_word_table_has_a_row_for_every_word() -> None:
    """The size that the network is built with is that of the vocabulary, with nothing and any other word."""
    known = vocabulary()
    assert TextConfig().vocabulary == len(known.ids) + 2
    assert set(known.ids.values()) == set(range(2, len(known.ids) + 2))


def test_the_vocabulary_holds_what_asks_for_something() -> None:
    """The words of the training prompts are those that slips are mended to, and each has an id."""
    known = vocabulary()
    assert known.asking == frozenset(making.asking())
    assert known.asking <= known.ids.keys()
    assert all(UNKNOWN not in ids(example) for example in EXAMPLES)


def test_case_and_kind_of_apostrophe_do_not_matter() -> None:
    """Capitals and typographic apostrophes read as the plain ones; a possessive is a word and its mark."""
    assert ids("DON\u2019T Move") == ids("don't move")
    assert ids("the cat's") == [*ids("the cat"), vocabulary().ids["'s"]]


@pytest.mark.parametrize("slip", ["camrea", "camea", "cammera", "camewa"])
def test_one_slip_of_typing_is_mended(slip: str) -> None:
    """Letters swapped, missing, doubled or wrong: the word that asks for something is found."""
    assert ids(slip) == ids("camera")


def test_what_is_no_word_stays_unknown() -> None:
    """Short slips and other words are not guessed at; two words written as one are two."""
    assert ids("zq brzlgrmpf été") == [UNKNOWN] * 3
    assert ids("nightsky") == ids("night sky")


def test_tokens_know_their_place() -> None:
    """Each token names the part of the text that it was read from."""
    text = "Pan left,  add a Nightsky!"
    said = ["Pan", "left", ",", "add", "a", "Nightsky", "Nightsky", "!"]
    assert [text[token.begin : token.end] for token in tokens(text)] == said


def test_the_tokenizer_pads_and_cuts() -> None:
    """Ids are as many as asked for: nothing behind the end, and no more than fit."""
    encode = tokenizer(3)
    assert encode("rain").tolist() == [*ids("rain"), PADDING, PADDING]
    assert encode("pan left and then right").tolist() == ids("pan left and")
    assert encode("").tolist() == [PADDING] * 3


def test_reading_needs_no_other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are read without open_clip or transformers."""
    for name in ("open_clip", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    vocabulary.cache_clear()
    assert UNKNOWN not in ids("it rains")
