"""Tests of the training of the network of layers: its views, its loss and its judge on what was kept out."""

import argparse
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pipeline.pocket import train_layers
from pipeline.pocket.folds import Fold
from pipeline.pocket.layers_network import OUTPUTS, LayersNetwork
from pipeline.pocket.train_layers import SEED, Pack, Plan, batch, load, loss_of, overlap, sizes_of, train

REST, SKY, WATER, SUBJECT = 0, 1, 2, 4
SIZE = (96, 176)


class _BrightIsSky(LayersNetwork):
    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        bright = F.avg_pool2d(picture.mean(1), 2)
        never = torch.full_like(bright, -9)
        return torch.stack([-bright, bright, never, never, never], dim=1)


def _pack() -> Pack:
    """Thirteen pictures, white above and black below, of which the first is all black and kept out; a clear cut-out."""
    kinds = torch.zeros(13, 240, 416, dtype=torch.uint8)
    kinds[:, :120] = SKY
    pictures = torch.zeros(13, 3, 240, 416, dtype=torch.uint8)
    pictures[1:, :, :120] = 255
    rows = torch.arange(13)
    cuts = torch.zeros(1, 4, 240, 416, dtype=torch.uint8)
    return Pack(pictures, kinds, rows[1:12], rows[12:], rows[1:2], rows[:1], cuts)


def test_views_keep_pictures_and_kinds_together() -> None:
    """A view's kinds lie where its colours do; what is kept out is never drawn."""
    torch.manual_seed(0)
    image, half, depth = batch(_pack(), 16, SIZE)
    bright = F.avg_pool2d(image.mean(1, keepdim=True), 2)[:, 0]
    assert image.shape == (16, 3, *SIZE)
    assert half.shape == (16, 48, 88)
    assert depth.shape == (16, 2, 48, 88)
    assert not depth.any()
    assert bright[half == SKY].mean() > bright[half == REST].mean() + 0.8
    assert (half == SKY).float().mean((1, 2)).max() > 0.1


def test_cut_outs_are_shown_as_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pictures as are lent one have a subject then, though no photo here has."""
    monkeypatch.setattr(train_layers, "MIRRORED", 0.0)
    pack = _pack()
    pack.cuts[:, 3, 20:220, 20:396] = 255
    for share, at_least, at_most in ((0.0, 0, 0), (1.0, 16, 16), (0.5, 2, 14)):
        monkeypatch.setattr(train_layers, "LENT", share)
        torch.manual_seed(0)
        shown = (batch(pack, 16, SIZE)[1] == SUBJECT).any(2).any(1)
        assert at_least <= int(shown.sum()) <= at_most


def test_where_much_is_a_subject_no_cut_out_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is set into pictures that show nothing but a subject, however often one is to be."""
    monkeypatch.setattr(train_layers, "LENT", 1.0)

    def never(*_: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise AssertionError("a cut-out was lent")

    monkeypatch.setattr(train_layers, "peopled", never)
    monkeypatch.setattr(train_layers, "FLOODED", 0.0)
    pack = _pack()
    pack.kinds[:] = SUBJECT
    batch(pack, 4, SIZE)
    with pytest.raises(AssertionError, match="lent"):
        batch(_pack(), 4, SIZE)


def test_some_pictures_are_mirrored_in_water_with_what_was_set_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them where all are to be: water at the bottom, a subject above it alone, though it filled the frame."""
    monkeypatch.setattr(train_layers, "FLOODED", 0.0)
    pack = _pack()
    pack.kinds[:] = SUBJECT
    for share, least, most in ((0.0, 0.0, 0.0), (1.0, 0.2, 0.7)):
        monkeypatch.setattr(train_layers, "MIRRORED", share)
        torch.manual_seed(0)
        wet = (batch(pack, 16, SIZE)[1] == WATER).float()
        assert least <= float(wet.mean()) <= most
        assert not wet[:, :16].any()


def test_views_keep_kinds_and_depth_together() -> None:
    """The depth that is told of a sky lies where the sky is, whatever is laid over and set in."""
    torch.manual_seed(0)
    pack = _pack()
    deep = replace(pack, near=torch.where(pack.kinds == SKY, 1, 200).to(torch.uint8))
    _, half, depth = batch(deep, 16, SIZE)
    above, known = depth.unbind(1)
    assert (above[(half == SKY) & (known > 0.99)] < 0).float().mean() > 0.95
    assert (above[(half == REST) & (known > 0.99)] > 0.2).float().mean() > 0.95


def test_depth_is_learned_beside_the_kinds() -> None:
    """Where a pack knows it the weights tell it, and the file that is loaded says whether it does."""
    pack = _pack()
    deep = replace(pack, near=torch.ones_like(pack.kinds))
    assert train(deep, {}, Plan(0.1, 2, sizes=(SIZE,))).near is not None
    assert train(pack, {}, Plan(0.0, 2, sizes=(SIZE,))).near is None


def test_a_right_answer_costs_less_than_a_wrong_one() -> None:
    """The loss is least where every place is given its kind."""
    kinds = torch.randint(OUTPUTS, (2, 12, 22), generator=torch.Generator().manual_seed(0))
    right = 8 * F.one_hot(kinds, OUTPUTS).permute(0, 3, 1, 2).float()
    assert loss_of(right, kinds) < 0.3 < loss_of(0 * right, kinds) < loss_of(right.roll(1, dims=1), kinds)


def test_a_little_training_teaches_a_little() -> None:
    """The steps that fit into a moment give finite weights, and no longer those that they began as."""
    network = train(_pack(), {}, Plan(0.1, 2, sizes=(SIZE,)))
    torch.manual_seed(SEED)
    begun = LayersNetwork()
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    assert any(not torch.equal(a, b) for a, b in zip(network.parameters(), begun.parameters(), strict=True))


def test_trainings_begin_alike() -> None:
    """Before the first step weights do not depend on the seed: only so is a mean of trainings a network."""
    one, other = (train(_pack(), {}, Plan(0.0, 2, seed)).state_dict() for seed in (1, 2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_overlap_is_of_what_was_kept_out() -> None:
    """A network that calls white sky and black the rest is right on a picture that is so, and half on a black one."""
    pack = _pack()
    right = overlap(_BrightIsSky(), replace(pack, kept=pack.photos[:1]), SIZE)
    assert right[REST] > 0.97
    assert right[SKY] > 0.97
    assert overlap(_BrightIsSky(), pack, SIZE) == [0.5, 0, 0, 0, 0]
    all_sky = replace(pack, kinds=torch.full_like(pack.kinds, SKY), kept=pack.photos[:1])
    assert overlap(_BrightIsSky(), all_sky, SIZE)[SKY] < 0.6


def test_a_pack_keeps_some_photos_out(tmp_path: Path) -> None:
    """Photos that are marked are kept, drawn scenes never are, and only photos with a subject give one."""
    photos = 13
    blobs: dict[str, list[bytes]] = {"jpeg": [], "png": [], "cut": []}
    for number in range(photos + 2):
        for form, made in (("jpeg", np.full((240, 416, 3), number * 9)), ("png", np.full((240, 416), number % 5))):
            buffer = io.BytesIO()
            Image.fromarray(made.astype(np.uint8)).save(buffer, form)
            blobs[form].append(buffer.getvalue())
        if number < 2:
            buffer = io.BytesIO()
            Image.new("RGBA", (416, 240), (1, 2, 3, 200 + number)).save(buffer, "PNG")
            blobs["cut"].append(buffer.getvalue())
    blobs["near"] = blobs["png"]
    columns: dict[str, Any] = {f"{form}_bytes": np.frombuffer(b"".join(some), np.uint8) for form, some in blobs.items()}
    columns |= {f"{form}_sizes": np.array([len(blob) for blob in some]) for form, some in blobs.items()}
    subject = np.arange(photos) % 2 == 1
    columns |= {"photos": np.array(photos), "subject": subject, "kept": np.arange(photos) % 12 == 0}
    np.savez(tmp_path / "pack.npz", **columns)
    pack = load(tmp_path / "pack.npz", torch.device("cpu"))
    assert pack.kept.tolist() == [0, 12]
    assert pack.scenes.tolist() == [photos, photos + 1]
    assert pack.donors.tolist() == [1, 3, 5, 7, 9, 11]
    assert not set(pack.photos.tolist()) & set(pack.kept.tolist())
    folded = load(tmp_path / "pack.npz", torch.device("cpu"), Fold(1, 4))
    assert folded.kept.tolist() == [0, 1, 5, 9, 12]
    assert not set(folded.photos.tolist()) & set(folded.kept.tolist())
    assert pack.kinds[4].unique().tolist() == [4]
    assert pack.cuts[:, :, 9, 9].tolist() == [[1, 2, 3, 200], [1, 2, 3, 201]]
    assert pack.near is not None
    assert torch.equal(pack.near, pack.kinds)


@pytest.mark.parametrize("rows", ["", "250", "256,", "-64", "big"])
def test_rows_that_the_network_cant_take_are_refused(rows: str) -> None:
    """The error says what rows are good for."""
    with pytest.raises(argparse.ArgumentTypeError, match="multiples of 64"):
        sizes_of(rows)
