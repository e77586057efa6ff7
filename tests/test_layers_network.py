"""Tests of the network that says where things are; with no weights."""

import torch

from pipeline.pocket import labels
from pipeline.pocket.layers_network import LAYERS, OUTPUTS, LayersNetwork


def _network() -> LayersNetwork:
    torch.manual_seed(0)
    return LayersNetwork().eval().requires_grad_(False)


def test_every_place_of_any_picture_gets_a_logit_for_every_kind() -> None:
    """Five kinds on half the picture's size, whatever the size; the same picture gives the same."""
    network = _network()
    for rows, columns in ((96, 176), (192, 336)):
        picture = torch.rand(2, 3, rows, columns) * 2 - 1
        found = network(picture)
        assert found.shape == (2, OUTPUTS, rows // 2, columns // 2)
        assert torch.equal(found, network(picture))


def test_weights_may_tell_how_near_things_are() -> None:
    """Only where they were trained for it there is nearness, of the logits' size; kinds are as without."""
    picture = torch.rand(2, 3, 96, 176) * 2 - 1
    plain = _network()
    torch.manual_seed(0)
    deep = LayersNetwork(tells_depth=True).eval().requires_grad_(False)
    logits, near = deep.both(picture)
    assert near is not None
    assert near.shape == (2, 1, 48, 88)
    assert float(near.min()) < float(near.max())
    assert torch.equal(logits, plain(picture))
    assert plain.both(picture)[1] is None


def test_the_network_is_small() -> None:
    """In twelve bits a number its weights are less than 3.7 MB."""
    assert sum(p.numel() for p in _network().parameters()) * 1.5 < 3_700_000


def test_the_network_and_its_judge_name_the_same_layers() -> None:
    """The kinds are those that the hand-drawn labels tell apart, in their order."""
    assert LAYERS == labels.LAYERS
