"""The text encoder is taught by prompts in which nothing that it is judged by occurs."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.networks.text_words import TextConfig, TextEncoder
from pipeline.pocket import text_data
from pipeline.pocket.data import encode_intents, load_prompts
from pipeline.pocket.intents import CAMERAS, LOGITS, Asked, dense, read
from pipeline.pocket.intents import Intents as Slots
from pipeline.pocket.language import HELD_OUT, Effect, Intents, Prompt
from pipeline.pocket.lexicon import PLAIN
from pipeline.pocket.roles import ASKED, BEYOND, JOINING, mark, unmark
from pipeline.pocket.text_data import draws, encode, judged_ids, pack
from pipeline.pocket.tokens import tokens
from pipeline.pocket.train_text import batches, lesson_loss, lessons_of, neighbours, resumed
from pipeline.pocket.words import drawn_together, make_table, onto


def as_text(text: str) -> str:
    return "".join(chr(token.id) for token in tokens(text))


def dense_of(camera: str, effect: str) -> Asked:
    columns = encode_intents([Prompt("", Intents(camera, 1.0, (Effect(effect, "whole"),)))])
    some = {key: torch.from_numpy(value) for key, value in columns.items()}
    return dense(Slots(**{k: v.float() if v.is_floating_point() else v.long() for k, v in some.items()}))


def test_no_lesson_holds_what_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt to judge by is drawn again, also inside another one and with a slip of typing."""
    judged = judged_ids()
    assert len(judged) > 500
    assert as_text("no longer raining") in judged
    given = iter(["Now: no longer raining.", "no lonegr raining", "pan left"])
    monkeypatch.setattr(text_data, "sample", lambda rng, lexicon: Prompt(next(given), Intents("drift")))
    assert draws(1, PLAIN)().text == "pan left"


def test_every_token_gets_the_role_of_its_letters() -> None:
    """Ids stand where words stand; what joins parts, and what lies behind the end, has no role."""
    text, roles = unmark(mark("it rains", ASKED) + ", " + mark("a dog", BEYOND))
    ids, parts = encode(Prompt(text, Intents("none"), roles), 8)
    assert roles.count(JOINING) == 2
    assert parts.tolist() == [ASKED, ASKED, -1, BEYOND, BEYOND, -1, -1, -1]
    assert (ids != 0).sum() == 5


def test_a_pack_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Prompts, their roles and the held-out ones come out of the file, as many as went in."""
    pack(tmp_path / "texts.npz", 40, PLAIN)
    train, held, classes = load_prompts(tmp_path / "texts.npz", torch.device("cpu"))
    roles = np.load(tmp_path / "texts.npz")["train_prompts_roles"]
    assert train.ids.shape == roles.shape == (40, TextConfig().length)
    assert ((roles >= 0) <= (train.ids.numpy() != 0)).all()
    assert len(held.ids) == len(classes) == sum(map(len, HELD_OUT.values()))


def test_a_batch_is_of_about_one_length() -> None:
    """Batches hold every length in time, each hardly more than one; their rows are rows of the prompts."""
    torch.manual_seed(0)
    lengths = torch.arange(1, 33).repeat(20)
    ids = (torch.arange(40)[None] < lengths[:, None]).long()
    drawn = list(islice(batches(ids, 8), 200))
    spread = [int(lengths[rows].max() - lengths[rows].min()) for rows in drawn]
    assert max(spread) <= 8
    assert {int(n) for rows in drawn for n in lengths[rows]} == set(range(1, 33))


def test_a_lesson_teaches_meaning_and_roles() -> None:
    """A few steps on one prompt make a small encoder read it, and the roles of its tokens, right."""
    torch.manual_seed(0)
    encoder = TextEncoder(TextConfig(vocabulary=30, table_dim=8, dim=32, num_layers=1, num_heads=2, outputs=LOGITS))
    encoder.table.copy_(torch.randint(-127, 127, encoder.table.shape, dtype=torch.int8))
    encoder.table_scale.fill_(0.02)
    ids, roles = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[0, 0, 2, -1]])
    asked = dense_of("pan_left", "rain")
    near = neighbours(encoder, ids.unique())
    optimiser = torch.optim.Adam(encoder.parameters(), 1e-2)
    for _ in range(60):
        loss = lesson_loss(encoder, ids, roles, asked, near)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.eval()
    logits, parts = encoder(ids)
    assert torch.equal(read(logits).camera, asked.camera)
    assert torch.equal(read(logits).present, asked.present)
    assert parts.argmax(-1)[0, :3].tolist() == [0, 0, 2]


def test_synonyms_are_drawn_together() -> None:
    """Rows of two words that mean the same come nearer, those without a synonym stay."""
    torch.manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(3, 384), dim=1)
    moved = drawn_together(rows, [(0, 1), (1, 0)])
    assert moved[0] @ moved[1] > rows[0] @ rows[1] + 0.3
    assert torch.equal(moved[2], rows[2])


def test_the_table_keeps_what_is_near_near() -> None:
    """Cut to a few axes and eight bits, rows that lie together still do."""
    torch.manual_seed(0)
    bases = torch.randn(5, 384).repeat_interleave(20, dim=0) + 0.3 * torch.randn(100, 384)
    table, scale = make_table(bases, axes=4)
    rows = torch.nn.functional.normalize(table.float() * scale, dim=1)
    assert (rows @ rows.T).topk(2).indices[:, 1].div(20, rounding_mode="floor").tolist() == [
        n // 20 for n in range(100)
    ]


def test_some_prompts_are_kept_out(tmp_path: Path) -> None:
    """A tenth of few prompts is not trained on; what is trained on keeps its roles and meaning."""
    pack(tmp_path / "texts.npz", 40, PLAIN)
    train, _, _ = load_prompts(tmp_path / "texts.npz", torch.device("cpu"))
    lessons = lessons_of(tmp_path / "texts.npz", torch.device("cpu"))
    assert torch.equal(torch.cat([lessons.prompts.ids, lessons.kept.ids]), train.ids)
    assert len(lessons.kept.ids) == 4
    assert len(lessons.roles) == len(lessons.right.camera) == 36
    assert torch.equal(lessons.right.camera, train.intents.camera[:36])


def test_training_goes_on_from_a_checkpoint_of_fewer_effects() -> None:
    """The text's part of a whole checkpoint is taken, with rows for what it was not taught."""
    few = len(CAMERAS) + 3 + 10 * (1 + 10 + 3 + 3)
    state = {"text.norm.weight": torch.ones(4), "text.head.2.weight": torch.ones(few, 8), "gate": torch.ones(1)}
    state["text.head.2.bias"] = torch.ones(few)
    made = resumed(state)
    assert set(made) == {"norm.weight", "head.2.weight", "head.2.bias"}
    assert made["head.2.weight"].shape == (LOGITS, 8)
    assert resumed(made).keys() == made.keys()


def test_new_words_are_laid_onto_the_axes() -> None:
    """Rows for new words are where the table would have had them, had they been there."""
    torch.manual_seed(0)
    vectors, axes = torch.randn(600, 384), torch.randn(384, 5)
    table = vectors @ axes + 0.3
    torch.testing.assert_close(onto(table[:550], vectors[:550], vectors[550:]), table[550:], rtol=1e-3, atol=1e-3)
