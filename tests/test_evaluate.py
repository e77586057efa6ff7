"""Tests of pocket's evaluation: takes, plan, resumption, tables, film; all without weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.pocket import evaluate, film
from pipeline.pocket.decoder import AnchoredDecoder, Motion
from pipeline.pocket.labels import label
from pipeline.pocket.language import held_out_prompts
from pipeline.pocket.latents import CHANNELS, GRID
from pipeline.pocket.measure import psnr
from pipeline.pocket.plain_prompts import CAMERA_PHRASES, EFFECT_PHRASES, PAIRS, camera_prompt
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.reach import everything
from pipeline.pocket.seen_picture import view
from pipeline.pocket.sparse import Notes, SparseDecoder
from pipeline.pocket.tables import tables
from pipeline.pocket.takes import TruthPlayer, script
from pipeline.pocket.trials import Trial
from pipeline.pocket.truth import CAMERAS, EFFECTS
from pipeline.pocket.where import plan as where_plan
from tests.pocket_parts import canvas_of, picture

ORDER = {"any": [f"{n:03d}" for n in range(12)]} | {e: ["003", "001"] for e in ("sway", "ripple", "breathe", "clouds")}


def test_a_sparse_decoder_renders_what_the_real_one_does() -> None:
    """Wanted frames are equal to the last bit, others are the picture, and every pose is noted."""
    canvas = canvas_of(picture(), 832, 480)
    latent = 0.5 * torch.randn(CHANNELS, *GRID, generator=torch.Generator().manual_seed(1))
    full, _ = AnchoredDecoder().decode(Motion.at_rest(), latent, canvas, 4)
    decoder = SparseDecoder()
    decoder.notes = Notes(frozenset({2}))
    sparse, _ = decoder.decode(Motion.at_rest(), latent, canvas, 4)
    assert torch.equal(sparse[2], full[2])
    assert torch.equal(sparse[3], canvas.rest)
    assert not torch.equal(full[3], canvas.rest)
    assert len(decoder.notes.poses) == 4


def test_a_sparse_decoder_makes_frames_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it notes of each would be another's if they were made side by side."""
    monkeypatch.setattr("pipeline.pocket.decoder.each", lambda *_: pytest.fail("frames were made side by side"))
    latent = torch.zeros(CHANNELS, *GRID)
    SparseDecoder().decode(Motion.at_rest(), latent, canvas_of(picture(), 832, 480), 4)


def test_the_truth_pans_where_it_is_told() -> None:
    """Under "the camera pans left" the view goes left, from the picture, and only the frames asked for are kept."""
    told = (0, camera_prompt("still")), (0.25, camera_prompt("pan_left"))
    asked = script(*told, seconds=1.25, frames=[0, 19])
    take = TruthPlayer().play(picture(), asked)
    assert sorted(take.frames) == [0, 19]
    assert len(take.poses) == 20
    assert take.poses[-1].x < -10
    assert np.array_equal(take.frames[0], take.picture)


@pytest.mark.parametrize(("pose", "least"), [(REST, 50), (Pose(x=30, roll=0.1), 40)])
def test_a_view_is_the_picture_from_a_pose(pose: Pose, least: float) -> None:
    """The reference agrees with the picture at rest, and with the decoder's frame from elsewhere."""
    canvas = canvas_of(picture(), 832, 480)
    frame = SparseDecoder()
    frame.notes = Notes(frozenset({0}))
    pixels = frame._frame(torch.zeros(CHANNELS, *GRID), pose, canvas, 0.0, everything()).numpy()
    assert psnr(view(canvas, pose), pixels) > least


def test_the_plan_tries_every_class_and_every_held_out_phrasing() -> None:
    """A full plan has each camera move, effect and phrasing, none twice; the effects are on what they move."""
    trials = evaluate.plan(ORDER, evaluate.Scope(), truth=False)
    assert len({trial.key for trial in trials}) == len(trials)
    assert {t.name for t in trials if t.kind == "camera"} == set(CAMERAS) - {"none", "drift"} == set(CAMERA_PHRASES)
    assert {t.name for t in trials if t.kind == "effect"} == set(EFFECTS) == set(EFFECT_PHRASES)
    assert sum(t.kind == "phrase" for t in trials) == sum(map(len, held_out_prompts().values()))
    assert {t.picture for t in trials if t.name == "sway" and t.kind == "effect"} == {"003", "001"}
    for name in ("stream", "waves", "twinkle", "aurora"):
        assert {t.picture for t in trials if t.name == name and t.kind in ("phrase", "drawn")} == {"003", "001"}
    assert [(t.name, t.picture) for t in trials if t.kind == "where" and not t.without] == where_plan()
    assert {t.name for t in trials if t.kind == "pair"} == {"+".join(pair) for pair in PAIRS}
    few = [t for t in evaluate.plan(ORDER, evaluate.QUICK, truth=False) if t.kind == "where"]
    assert {t.name for t in few} == {t.name for t in trials if t.kind == "where"}


def test_pictures_are_ordered_by_their_labels(tmp_path: Path) -> None:
    """Each effect is tried first where the label has most of its matter; what has no label comes last."""
    (tmp_path / "held").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 104, 3), dtype=np.uint8)
    for name in ("003", "005", "007", "999"):
        Image.fromarray(noise).resize((832, 480)).save(tmp_path / "held" / f"{name}.jpg")
    order = evaluate.rank(tmp_path)
    for effect, layer in (("ripple", "water"), ("sway", "foliage"), ("clouds", "sky")):
        shares = {name: float(label(name).layer(layer).mean()) for name in ("003", "005", "007")}
        assert order[effect][0] == max(shares, key=lambda name: shares[name])
        assert set(order[effect]) == {"003", "005", "007", "999"}
    assert order["ripple"].index("007") < order["ripple"].index("999")
    assert set(order["any"]) == {"003", "005", "007", "999"}


def test_a_broken_off_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results on file are not made again, unless other weights made them."""
    trial = Trial("camera", "still", "000")
    partial = tmp_path / "out.partial.jsonl"
    mark = ["measured", evaluate.measured(None)]
    partial.write_text(json.dumps(mark) + "\n" + json.dumps([trial.key, {"class": "still"}]) + "\n")
    monkeypatch.setattr(evaluate, "work", lambda trial: pytest.fail("tried again"))
    results = evaluate.evaluate([trial], None, tmp_path, partial, 1)
    assert results == {"measured": mark[1], trial.key: {"class": "still"}}
    partial.write_text(json.dumps(["measured", {"weights": "others", "settings": {}}]) + "\n")
    assert evaluate.evaluate([], None, tmp_path, partial, 1) == {"measured": mark[1]}
    assert partial.read_text() == json.dumps(mark) + "\n"


def test_tables_name_what_went_wrong() -> None:
    """A class that was misread shows with the phrase, and counts against the share."""
    results = {
        "phrase/rain/001/0/0": {"class": "snow", "prompt": "wet weather", "half_frames": None},
        "phrase/rain/002/1/0": {"class": "rain", "prompt": "it pours", "half_frames": 8},
        "where/sway/003/0/0": {"correlation": -0.5, "strength": -0.4, "prior": 0.1, "ghost": 7.0},
        "where/sway/006/0/0": {"correlation": 0.7, "strength": 0.6, "prior": 0.3, "ghost": 2.0},
        "where/haze/028/0/0": {"correlation": 0.2, "strength": 0.1, "prior": 0.6},
        "still/still/001/0/60": {"first": 99.0, "first_against_lanczos": 41.0, "end": 52.0, "least": 51.0},
    }
    text = tables(results)
    assert "**1/2 = 0.500, least class 0.50**" in text
    assert "“wet weather” → snow" in text
    assert "| 001 | 60 | 99.0 | 41.0 | 52.0 | 51.0 |" in text
    assert "| sway | 2 | 0.100 | 0.100 | 0.200 | -0.50 | 003 | 4.50 |" in text
    assert "| haze | 1 | 0.200 | 0.100 | 0.600 | 0.20 | 028 |  |" in text


def test_ceilings_are_tried_only_where_they_are_asked_for() -> None:
    """Labels for layers say what the judge can read at best, which no evaluation of the model is."""
    trials = evaluate.plan(ORDER, evaluate.QUICK, truth=False)
    assert {t.kind for t in evaluate.chosen(trials, None, None)} == {t.kind for t in trials} - {"ceiling"}
    ceilings = evaluate.chosen(trials, "ceiling", "haze")
    assert {(t.kind, t.name) for t in ceilings} == {("ceiling", "haze")}
    assert "labels for layers" in tables({ceilings[0].key: {"correlation": 0.9, "strength": 0.8, "prior": 0.1}})


def test_the_film_was_chosen_before_training() -> None:
    """The seed draws the same twenty prompts and pictures for ever."""
    scenes = film.draw([f"{n:03d}" for n in range(32)])
    assert len({scene.prompt.text for scene in scenes}) == len({scene.picture for scene in scenes}) == 20
    assert [(scene.picture, scene.prompt.text) for scene in scenes[:3]] == [
        ("003", "warm light, the leaves sway strongly"),
        ("009", "ripples on the water"),
        ("010", "the clouds drift by"),
    ]
