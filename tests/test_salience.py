"""Tests of what draws the eye as a witness of what is a subject."""

import itertools

import torch

from pipeline.pocket.layers import REST, SKY, SUBJECT
from pipeline.pocket.salience import borne_witness, salience
from pipeline.pocket.salient_network import SalientNetwork


def _doubtful(subject: float = 0.3, other: int = REST) -> torch.Tensor:
    found = torch.zeros(1, 5, 48, 84)
    found[:, other], found[:, SUBJECT] = 1 - subject, subject
    return found


def _seen(most: float = 1.0) -> torch.Tensor:
    """The left half draws the eye as much as this."""
    seen = torch.zeros(1, 1, 96, 96)
    seen[..., :48] = most
    return seen


def test_what_draws_the_eye_is_the_subject() -> None:
    """Where it is in doubt: likelier there, less likely elsewhere, and shares still sum to one."""
    shares = borne_witness(_doubtful(), _seen())
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 48, 84))
    assert shares[:, SUBJECT, :, :40].min() > 0.85
    assert shares[:, SUBJECT, :, 44:].max() < 0.1


def test_what_is_sure_stays() -> None:
    """A sky that shows no doubt is no subject, however it draws the eye; a sure subject stays one that it ignores."""
    sky = borne_witness(_doubtful(0.0, SKY), _seen())
    assert torch.equal(sky, _doubtful(0.0, SKY))
    assert borne_witness(_doubtful(0.97), _seen())[:, SUBJECT, :, 44:].min() > 0.85


def test_where_nothing_draws_the_eye_it_has_no_say() -> None:
    """Half is nothing; the more salient the most salient places are, the more it counts, without a step."""
    found = _doubtful()
    torch.testing.assert_close(borne_witness(found, _seen(0.5)), found)
    counts = [float(borne_witness(found, _seen(most))[0, SUBJECT, 0, 0]) for most in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    assert counts == sorted(counts)
    assert max(after - before for before, after in itertools.pairwise(counts)) < 0.35


def test_it_is_more_for_a_subject_than_against() -> None:
    """Odds of one half rise by more than they fall."""
    shares = borne_witness(_doubtful(0.5), _seen())
    assert 0.5 - float(shares[0, SUBJECT, 0, -1]) < float(shares[0, SUBJECT, 0, 0]) - 0.5


def test_a_picture_of_any_shape_is_looked_at_in_a_square() -> None:
    """The map is of the square that the network was trained on, between 0 and 1, and the same for the same picture."""
    torch.manual_seed(0)
    network = SalientNetwork().eval().requires_grad_(False)
    picture = torch.rand(1, 3, 120, 208) * 2 - 1
    seen = salience(network, picture)
    assert seen.shape == (1, 1, 80, 80)
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert torch.equal(seen, salience(network, picture))
