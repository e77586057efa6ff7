"""Tests of the pictures with masks that the network of layers learns from."""

import numpy as np

from pipeline.pocket.layers_data import STORED, SUBJECT, Rough, kinds, read_rough

SKY = 1


def test_every_rough_label_can_be_drawn() -> None:
    """No picture is labelled twice, grounds and shapes are of known kinds, and points lie in pairs."""
    rough = read_rough()
    assert len(rough) > 100
    assert len({line.number for line in rough}) == len(rough)
    plain = np.zeros((*STORED, 3), np.uint8)
    for line in rough[::20]:
        assert kinds(line, plain, None).max() < SUBJECT


def test_a_rough_edge_goes_to_the_pictures_own() -> None:
    """A line drawn a little too low is brought up to where the picture changes; one far from it stays."""
    pixels = np.full((*STORED, 3), (170, 200, 240), np.uint8)
    pixels[120:] = (60, 50, 30)
    pixels += np.random.default_rng(0).integers(0, 12, pixels.shape, dtype=np.uint8)
    found = kinds(Rough("000", "R", False, "S 0,0 100,0 100,52 0,52"), pixels, None)
    assert (found[:119] == SKY).mean() > 0.99
    assert (found[121:] == 0).mean() > 0.99


def test_the_subject_is_what_the_teacher_saw() -> None:
    """What is salient is the subject, whatever the rough shapes say of the place; nothing else is."""
    salient = np.zeros(STORED, np.float32)
    salient[60:100, 200:240] = 1
    found = kinds(Rough("000", "S", True, ""), np.full((*STORED, 3), 90, np.uint8), salient)
    assert (found[60:100, 200:240] == SUBJECT).all()
    assert (found == SUBJECT).sum() == 40 * 40
