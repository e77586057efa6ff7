"""Tests of chance: what every stream's noise becomes is smooth, even over the picture, and its seed's alone."""

from functools import cache, partial

import pytest
import torch
from torch import Tensor

from pipeline.pocket.chance import EDDIES, GUST, KINDS, PATCHES, SWAY, WAVES, Chance, Draws, Noise, chance, fields_of
from pipeline.schedule import noise

drawn = partial(chance, noise)


def silence(seed: int, latent: int, step: int, shape: tuple[int, ...]) -> Tensor:
    return 0 * noise(seed, latent, step, shape)


@cache
def many() -> list[Chance]:
    """A latent of each of many seeds."""
    return [drawn(seed, 5) for seed in range(80)]


def test_the_same_latent_of_a_seed_is_the_same_whenever_it_is_made() -> None:
    """Nothing is kept from one latent to the next; another seed or latent is another."""
    first = drawn(3, 70)
    for seed, latent in ((3, 71), (4, 70)):
        drawn(seed, latent)
    again = drawn(3, 70)
    assert torch.equal(first.fields, again.fields)
    assert (first.breath, first.wind, first.light, first.hand) == (again.breath, again.wind, again.light, again.hand)
    assert not torch.equal(first.fields, drawn(4, 70).fields)
    assert not torch.equal(first.fields, drawn(3, 71).fields)


def test_chance_has_one_size_everywhere_and_from_the_first_latent_on() -> None:
    """Mean 0 and variance 1 in every cell over seeds, and over a long stream as over its beginning."""
    fields = torch.stack([one.fields for one in many()])
    assert fields.mean(0).abs().max() < 0.5
    assert fields.std(0).min() > 0.75
    assert fields.std(0).max() < 1.25
    beginning, late = (torch.stack([drawn(s, n).fields for s in range(30)]).std() for n in (0, 14400))
    assert float(beginning) == pytest.approx(1, abs=0.1)
    assert float(late) == pytest.approx(1, abs=0.1)


def test_numbers_of_a_latent_have_one_size() -> None:
    """Breath, wind, light and the hand are of mean square 1; the wind blows either way, a breath begins anywhere."""
    for part in ("breath", "light"):
        assert sum(abs(getattr(one, part)) ** 2 for one in many()) / len(many()) == pytest.approx(1, abs=0.35)
    for part in ("wind", "hand"):
        squares = torch.tensor([getattr(one, part) for one in many()]).square().mean(0)
        assert squares.min() > 0.65
        assert squares.max() < 1.4
    assert 0.3 < sum(one.side > 0 for one in many()) / len(many()) < 0.7
    assert abs(sum(one.beginning for one in many())) / len(many()) < 0.25


def test_what_follows_is_near_what_was() -> None:
    """From one latent to the next a field changes little, in three seconds wholly: no jitter, no standing still."""
    one, next_, later = (torch.stack([drawn(s, n).fields for s in range(20)]) for n in (10, 11, 22))
    near, far = (_correlation(one, other) for other in (next_, later))
    assert near.min() > 0.8
    assert far.abs().max() < 0.5


@pytest.mark.parametrize(("kind", "down"), [(GUST, 0), (SWAY, 0), (EDDIES, 0), (WAVES, -1), (PATCHES, 1)])
def test_fields_are_carried(kind: int, down: int) -> None:
    """Gusts, patches and eddies go with the wind, wave packets up the picture, weather down."""
    shift = 2
    pairs = [(one, drawn(seed, 7)) for seed, one in enumerate(many()[:40])]
    a, b = (torch.stack([pair[i].fields[fields_of(kind)] for pair in pairs]) for i in (0, 1))
    if down:
        forth, back = (_correlation(a.roll(n * shift, 2), b).mean() for n in (down, -down))
    else:
        side = [one.side for one, _ in pairs]
        forth, back = (
            _correlation(torch.stack([x.roll(n * s * shift, 2) for x, s in zip(a, side, strict=True)]), b).mean()
            for n in (1, -1)
        )
    assert KINDS[kind].wind == 0 or not down
    assert forth > back + 0.02


def test_without_noise_there_is_nothing() -> None:
    """What stands for chance is the noise, and no constant beside it."""
    nothing = chance(silence, 1, 3)
    assert not nothing.fields.any()
    assert nothing.side == 0
    assert nothing.beginning == nothing.breath == 0
    assert (*nothing.wind, nothing.light, *nothing.hand) == (0,) * 6


def test_a_hand_stays_about_its_place() -> None:
    """The way of the camera, summed over minutes, goes nowhere."""
    hands = torch.tensor([drawn(2, n).hand for n in range(160)])
    assert hands.cumsum(0).abs().max() < 40
    assert hands.std(0).min() > 0.7


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Over seeds and places, by field."""
    a, b = (x.transpose(0, 1).flatten(1) for x in (one, other))
    return (a * b).mean(1) / (a.std(1) * b.std(1))


def test_what_is_drawn_ahead_is_the_same_and_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two streams by turns get their own chance, each made once, of noise that is drawn once; what is long ago is made
    again."""
    keys: list[tuple[int, int, int]] = []
    made: list[int] = []

    def counted(seed: int, latent: int, step: int, shape: tuple[int, ...]) -> torch.Tensor:
        keys.append((seed, latent, step))
        return noise(seed, latent, step, shape)

    def making(of: Noise, seed: int, latent: int) -> Chance:
        made.append(latent)
        return chance(of, seed, latent)

    monkeypatch.setattr("pipeline.pocket.chance.chance", making)
    draws = Draws(counted, torch.device("cpu"), kept=2)
    for _ in range(2):
        for seed in (1, 2):
            assert torch.equal(draws.of(seed, 5).fields, drawn(seed, 5).fields)
    assert made == [5, 5]
    once = len(keys)
    draws.of(1, 6)
    assert keys[once:] == [(1, 6, keys[0][2])]
    draws.of(1, 5)
    assert made == [5, 5, 6, 5]
    assert len(keys) == len(set(keys))
