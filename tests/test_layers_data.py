"""Tests of the pictures with masks that the network of layers learns from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.pocket import layers_data
from pipeline.pocket.layers_data import (
    SHOWN_SIZE,
    STORED,
    SUBJECT,
    Rough,
    any_scenery,
    cut_out,
    kinds,
    made,
    pack,
    read_rough,
)
from pipeline.pocket.train_layers import load

SKY = 1


def test_every_rough_label_can_be_drawn() -> None:
    """No picture is labelled twice, grounds and shapes are of known kinds, and points lie in pairs."""
    rough = read_rough()
    assert len(rough) > 100
    assert len({line.number for line in rough}) == len(rough)
    plain = np.zeros((*STORED, 3), np.uint8)
    for line in rough[::20]:
        assert line.shows_subject or kinds(line, plain, None).max() < SUBJECT


def test_a_rough_edge_goes_to_the_pictures_own() -> None:
    """A line drawn a little too low is brought up to where the picture changes; one far from it stays."""
    pixels = np.full((*STORED, 3), (170, 200, 240), np.uint8)
    pixels[120:] = (60, 50, 30)
    pixels += np.random.default_rng(0).integers(0, 12, pixels.shape, dtype=np.uint8)
    found = kinds(Rough("000", "R", False, "S 0,0 100,0 100,52 0,52"), pixels, None)
    assert (found[:119] == SKY).mean() > 0.99
    assert (found[121:] == 0).mean() > 0.99


def test_an_edge_that_is_exact_stays() -> None:
    """The same line in an engraving, say, where edges of other things are stronger, is where it was drawn."""
    pixels = np.full((*STORED, 3), (170, 200, 240), np.uint8)
    pixels[120:] = (60, 50, 30)
    found = kinds(Rough("000", "R", False, "S 0,0 100,0 100,52 0,52", is_exact=True), pixels, None)
    assert (found[:124] == SKY).mean() > 0.99
    assert (found[126:] == 0).all()
    assert any(line.is_exact for line in read_rough())


def test_the_subject_is_what_the_teacher_saw() -> None:
    """What is salient is the subject, whatever the rough shapes say of the place; nothing else is."""
    salient = np.zeros(STORED, np.float32)
    salient[60:100, 200:240] = 1
    found = kinds(Rough("000", "S", True, ""), np.full((*STORED, 3), 90, np.uint8), salient)
    assert (found[60:100, 200:240] == SUBJECT).all()
    assert (found == SUBJECT).sum() == 40 * 40


def test_a_thing_that_stands_out_is_a_subject() -> None:
    """What is drawn by hand as a thing is the subject, without a teacher; the picture can lend it to others."""
    rough = Rough("000", "S", False, "T 40,20 60,20 60,80 40,80")
    found = kinds(rough, np.full((*STORED, 3), 90, np.uint8), None)
    assert found[120, 208] == SUBJECT
    assert found[20, 20] == SKY
    assert rough.shows_subject
    assert not Rough("000", "S", False, "R 40,20 60,20 60,80 40,80").shows_subject


def test_landscapes_go_by_name() -> None:
    """A number is that of a picture to train on; all else is a landscape, and some of those are kept out."""
    rough = read_rough()
    assert Rough("007", "S", False, "").file == "train/007.jpg"
    land = [line for line in rough if line.file == f"land/{line.number}.jpg"]
    assert len(land) > 100
    assert any(line.is_kept for line in land)


def test_made_pictures_come_with_their_kinds() -> None:
    """Drawn and painted ones are of the stored size."""
    pictures = list(made(1, 2))
    assert len(pictures) == 3
    for pixels, exact, near in pictures:
        assert pixels.shape == (*STORED, 3)
        assert exact.shape == near.shape == STORED
        assert exact.max() <= SUBJECT


def test_any_scenery_shows_something() -> None:
    """By chance all places are shown but plain light; nothing stands behind itself, stars are out at night."""
    scenes = [any_scenery(np.random.default_rng(seed)) for seed in range(100)]
    assert len({scene.place for scene in scenes}) == 11
    assert not any(scene.place == "abstract" or scene.place in scene.beyond for scene in scenes)
    assert all(scene.hour in ("dusk", "night") for scene in scenes if scene.has_stars or scene.has_aurora)


def _cut(path: Path) -> Path:
    """A tall green cut-out far off the middle of a sheet of which the rest is all but clear."""
    sheet = np.zeros((300, 200, 4), np.uint8)
    sheet[..., 3] = 5
    sheet[100:260, 20:60] = (40, 200, 60, 255)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(sheet).save(path)
    return path


def test_a_cut_out_fills_the_stored_size(tmp_path: Path) -> None:
    """It is as tall as there is room for, in the middle, in its own colours and shape, on clear ground."""
    stored = cut_out(_cut(tmp_path / "cut/post.png"))
    assert stored.shape == (*STORED, 4)
    rows, columns = (np.flatnonzero((stored[..., 3] > 128).any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (4, 235)
    assert (columns[0] + columns[-1]) // 2 in (207, 208)
    assert len(columns) == 58
    assert (stored[120, 208] == (40, 200, 60, 255)).all()
    assert not stored[:, :170].any()


def test_a_bust_reaches_the_lower_edge(tmp_path: Path) -> None:
    """And is as large as another cut-out, by which it is known for one."""
    whole, bust = (cut_out(_cut(tmp_path / "bust/post.png"), is_bust) for is_bust in (False, True))
    assert not whole[-1].any()
    assert (bust[-1, :, 3] > 127).any()
    assert (whole[..., 3] > 127).sum() == (bust[..., 3] > 127).sum()


def test_a_pack_has_cut_outs_that_are_no_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie beside the pictures and are none of them: no row to train on is one."""
    _cut(tmp_path / "cut/post.png")
    _cut(tmp_path / "cut/again.png")
    (tmp_path / "train").mkdir()
    Image.new("RGB", (416, 240), (150, 180, 240)).save(tmp_path / "train/000.jpg")
    monkeypatch.setattr(layers_data, "read_rough", lambda: [Rough("000", "S", False, "")])
    pack(tmp_path, tmp_path, tmp_path / "pack.npz", drawings=1, paintings=0)
    packed = load(tmp_path / "pack.npz", torch.device("cpu"))
    assert packed.cuts.shape == (2, 4, *STORED)
    assert packed.cuts[:, :, 120, 208].tolist() == [[40, 200, 60, 255]] * 2
    assert packed.pictures.shape == (2, 3, *SHOWN_SIZE[::-1])
    assert packed.kinds.shape == (2, *STORED)
    assert packed.photos.tolist() == [0]
    assert packed.scenes.tolist() == [1]
    assert packed.donors.tolist() == []
