"""Fog in banks."""

import itertools
import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.pocket import fog
from pipeline.pocket.latents import GRID
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.truth import LOG_GAINS
from pipeline.pocket.view import NOMINAL, View

VIEW = View(416, 240)
SHEETS = {view: fog.sheet(np.random.default_rng(0), view) for view in (VIEW, View(240, 416), View(832, 480))}
NO_GAIN = torch.zeros(3)
SUNSET = torch.tensor([230.0, 140.0, 60.0])[:, None, None].expand(3, 24, 24)


def hidden(time_s: float = 2.0, pose: Pose = REST, amount: float = 1.0, view: View = VIEW) -> np.ndarray:
    """How much a fog that is everywhere hides, ``[H, W]``."""
    seen = torch.tensor([[part for look in fog.looks(time_s, view, pose) for part in look]])
    return fog.opacity(SHEETS[view], seen, torch.full((1, *GRID), amount), view)[0].numpy()


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation in the middle of the frame."""
    a, b = (part[60:-60, 104:-104].ravel() for part in (one, other))
    return float(np.corrcoef(a, b)[0, 1])


def turned(plane: np.ndarray, angle: float, scale: float) -> np.ndarray:
    """A plane turned clockwise about its middle by an angle in rad, and enlarged."""
    height, width = plane.shape
    middle = (width - 1) / 2, (height - 1) / 2
    way = cv2.getRotationMatrix2D(middle, -math.degrees(angle), scale)
    return np.asarray(cv2.warpAffine(plane, way, (width, height)))


def test_fog_turns_with_the_picture() -> None:
    """Under a roll it is the same fog, turned as far as the picture is."""
    at_rest, rolled = hidden(), hidden(pose=Pose(roll=0.35))
    assert alike(rolled, turned(at_rest, 0.35, 1)) > 0.98
    assert alike(rolled, at_rest) < 0.9


def test_fog_comes_nearer_in_a_zoom() -> None:
    """It grows about the middle by a little more than the picture does."""
    at_rest, closer = hidden(), hidden(pose=Pose(zoom=0.1))
    growths = (1.0, 1.05, 1.0 * math.exp(0.12), 1.22)
    found = [alike(closer, turned(at_rest, 0.0, growth)) for growth in growths]
    assert max(found) == found[2]
    assert found[2] > found[0] + 0.02


def test_fog_is_as_thick_however_close_the_camera_is() -> None:
    """Through a long zoom in, and out, banks come and go without a jump, and stand out as much."""
    looks = [hidden(pose=Pose(zoom=step / 100)) for step in range(-100, 200)]
    assert max(np.abs(b - a).mean() for a, b in itertools.pairwise(looks)) < 0.02
    means, spreads = [look.mean() for look in looks], [look.std() for look in looks]
    assert max(means) < 1.35 * min(means)
    assert max(spreads) < 2.2 * min(spreads)


def test_fog_goes_past_a_camera_the_near_faster() -> None:
    """In a pan to the right it goes left, where near by more than the picture; a tilt moves it up or down."""
    far, near = zip(fog.looks(2.0, NOMINAL, Pose(x=50.0)), fog.looks(2.0, NOMINAL), strict=True)
    ways = [(now.x - before.x) * fog.REDUCTION % 832 for now, before in (far, near)]
    assert ways == pytest.approx([50.0, 75.0])
    down = fog.looks(2.0, NOMINAL, Pose(y=20.0))[0].y - fog.looks(2.0, NOMINAL)[0].y
    assert down * fog.REDUCTION % 480 == pytest.approx(20.0)


@pytest.mark.parametrize("view", [View(240, 416), View(832, 480)])
def test_fog_drifts_as_far_in_every_size(view: View) -> None:
    """In half a second both looks go on by as many units, round the sheet."""
    sides = [side * fog.REDUCTION / view.scale for side in reversed(fog.size(view))]
    for later, now, (right, down) in zip(fog.looks(0.7, view), fog.looks(0.2, view), fog.DRIFTS_PER_S, strict=True):
        ways = [(b - a) * fog.REDUCTION / view.scale for a, b in ((now.x, later.x), (now.y, later.y))]
        for way, side, drift in zip(ways, sides, (right, down), strict=True):
            assert way % side == pytest.approx(-drift / 2 % side)


def test_banks_lie_flat_in_every_shape() -> None:
    """They are wider than high, as much in a portrait."""
    for view in (VIEW, View(240, 416)):
        banks = SHEETS[view].numpy()
        across, down = (np.abs(np.diff(banks, axis=axis)).mean() for axis in (1, 0))
        assert 0.4 < across / down < 0.85


def test_a_sheet_has_no_seam() -> None:
    """Its last row and column are its first once more, and no step to them is larger than others."""
    banks = SHEETS[VIEW].numpy()
    assert np.array_equal(banks[-1], banks[0])
    assert np.array_equal(banks[:, -1], banks[:, 0])
    steps = np.abs(np.diff(banks, axis=1)).mean(0)
    assert steps[-1] < 1.5 * steps.max()


def test_thin_fog_is_its_thickest_banks() -> None:
    """While it comes, a bank is many times as thick as the gaps; later there are no gaps."""
    bank, gap = torch.tensor([1.4]), torch.tensor([0.7])
    thin, thick = (
        float(fog.veil(bank, amount) / fog.veil(gap, amount)) for amount in (torch.tensor([0.2]), torch.ones(1))
    )
    assert thin > 3
    assert thin > 1.5 * thick


def test_fog_is_never_solid() -> None:
    """Whatever the banks do, a sixteenth of the picture shows through the thickest."""
    most = fog.veil(torch.full((1,), 2.0), torch.ones(1))
    assert 0.8 < float(most) < 15 / 16
    assert float(fog.veil(torch.zeros(1), torch.ones(1))) > 0.05


def test_banks_of_fog_stand_out_and_drift() -> None:
    """A fog is not flat, and within three seconds it is another place that is thick."""
    early, late = hidden(2.0)[:80], hidden(5.0)[:80]
    assert early.std() > 0.15 * early.mean()
    assert np.abs(late - early).mean() > 0.4 * early.std()


def test_thick_fog_is_thinner_before_what_is_near() -> None:
    """Low in the frame there is less of a thick fog that is everywhere, and a thin one stays."""
    thick = fog.thinned(torch.full(GRID, 1.35)).mean(1)
    assert float(thick[-1]) < 0.6 * float(thick[0])
    assert float(fog.thinned(torch.full(GRID, 0.3)).min()) > 0.85 * 0.3


def test_fog_along_the_bottom_has_no_edge() -> None:
    """It grows towards the bottom from nothing, in small steps however coarse its amounts are, and is thick there."""
    rows = torch.sigmoid(5 * torch.linspace(-1, 1, GRID[0]))[:, None].expand(GRID)
    # The transformer's patches of four rows.
    rough = F.interpolate(rows[None, None, ::4, ::4], GRID, mode="nearest")[0, 0]
    lies = fog.thinned(rough).mean(1)
    steps = lies.diff()
    assert float(lies[: GRID[0] // 3].max()) < 0.06
    assert float(lies[GRID[0] // 2]) < 0.4
    assert float(lies[-1]) > 1.0
    assert float(steps.min()) > -1e-4
    assert float(steps.max()) < 0.12


def test_fog_is_dimmer_at_night() -> None:
    """Fog has the light of the picture behind it, and something of its colour."""
    day, night = (torch.stack(fog.colour(SUNSET * share, NO_GAIN)).flatten() for share in (1.0, 0.1))
    assert float(night.max()) < 0.6 * float(day.min())
    assert float(day[0]) > float(day[2])


def test_fog_takes_on_the_colour_of_the_light() -> None:
    """Before one grey it is bluer in cold light, and warmer in golden light, and as bright."""
    grey = torch.full((3, 24, 24), 128.0)
    cold, plain, gold = (
        torch.stack(fog.colour(grey, torch.tensor(gain))).flatten()
        for gain in (LOG_GAINS["cold"], (0.0, 0.0, 0.0), LOG_GAINS["warm"])
    )
    tints = [float(colour[2] - colour[0]) for colour in (gold, plain, cold)]
    assert tints[0] + 15 < tints[1] < tints[2] - 15
    assert float(cold.mean()) == pytest.approx(float(plain.mean()), rel=0.04)
