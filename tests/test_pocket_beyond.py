"""What pocket can't do is drawn in many kinds, from dictionaries where there are some, and asks for nothing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from pipeline.pocket.beyond import doing, draw_beyond, draw_clause, plural
from pipeline.pocket.language import sample
from pipeline.pocket.lexicon import PLAIN, from_dictionaries
from pipeline.pocket.roles import ASKED, BEYOND
from pipeline.pocket.thesaurus import synonyms
from pipeline.pocket.tokens import vocabulary

NOUNS = """  1 licence
00000001 05 n 02 gnu 0 wildebeest 0 000 | large antelope; "gnus live far from here"
00000002 05 n 01 rain 0 000 | an animal named as no other; "rain has long ears"
00000003 19 n 01 zephyr 0 000 | a slight wind
"""
VERBS = """  1 licence
00000001 38 v 02 yodel 0 warble 0 000 | sing by changing register
00000002 38 v 02 sway 1 wobble 0 000 | move back and forth
"""
EMPTY = "  1 licence\n"


def wordnet(folder: Path) -> Path:
    """A dictionary of five words in WordNet's layout."""
    index = "{} {} 1 0 1 {} 00000001\n"
    words = {"noun": ("gnu", "rain", "zephyr"), "verb": ("yodel", "sway", "wobble"), "adj": (), "adv": ()}
    for pos, data in {"noun": NOUNS, "verb": VERBS, "adj": EMPTY, "adv": EMPTY}.items():
        (folder / f"data.{pos}").write_text(data)
        (folder / f"index.{pos}").write_text(EMPTY + "".join(index.format(w, pos[0], 1) for w in words[pos]))
    return folder


def test_all_kinds_are_drawn() -> None:
    """Thousands of draws hardly repeat, and none has an open slot."""
    rng = random.Random(0)
    drawn = [draw_beyond(rng, PLAIN) for _ in range(2000)] + [draw_clause(rng, PLAIN) for _ in range(500)]
    assert len(set(drawn)) > 1800
    assert not any(set("{}<>|") & set(text.replace("<3", "").replace("|", "")) for text in drawn)
    assert all(text.strip() for text in drawn)


def test_words_bend_by_the_common_rules() -> None:
    """Plurals and -ing forms are those of English."""
    assert [plural(w) for w in ("box", "lady", "day", "church")] == ["boxes", "ladies", "days", "churches"]
    assert [doing(w) for w in ("sing", "stop", "make", "agree", "rain")] == [
        "singing", "stopping", "making", "agreeing", "raining",
    ]  # fmt: skip


def test_what_asks_for_something_is_left_out_of_the_dictionary(tmp_path: Path) -> None:
    """Things come from the files of animals and their like; words that pocket knows, and verbs near them, do not."""
    for name in ("ngerman", "french", "spanish", "italian", "dutch", "portuguese", "polish", "swedish"):
        (tmp_path / name).write_text("wort\nApfel\nzu\n")
    lexicon = from_dictionaries(wordnet(tmp_path), tmp_path, frozenset({"rain", "sway"}))
    assert set(lexicon.things) - set(PLAIN.things) == {"gnu"}
    assert set(lexicon.deeds) - set(PLAIN.deeds) == {"yodel"}
    assert lexicon.sentences == ("gnus live far from here",)
    assert [words for words, _ in lexicon.languages] == [("wort",)] * 8


def test_synonyms_are_near_and_have_rows(tmp_path: Path) -> None:
    """Two words of a synset are taken for each other where their rows in the word table are near, else not."""
    table = np.zeros((len(vocabulary().ids) + 2, 2), np.float32)
    for word in ("sway", "wobble"):
        table[vocabulary().ids[word]] = (1, 0.1)
    assert "wobble" in synonyms(wordnet(tmp_path), table)["sway"]
    table[vocabulary().ids["wobble"]] = (-1, 0.1)
    assert "sway" not in synonyms(wordnet(tmp_path), table)


def test_what_pocket_cant_do_asks_for_nothing() -> None:
    """A prompt of nothing else means the drift; beside something asked for it changes nothing."""
    rng = random.Random(1)
    drawn = [sample(rng) for _ in range(3000)]
    only = [p for p in drawn if BEYOND in p.roles and ASKED not in p.roles and p.intents.camera != "still"]
    assert len(only) > 200
    assert all(p.intents.camera == "drift" and p.intents.effects == () for p in only if 1 not in p.roles)
    assert sum(BEYOND in p.roles and ASKED in p.roles for p in drawn) > 300
