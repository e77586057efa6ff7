import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.pocket.latents import CHANNELS, GRID, WEATHER
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.view import View
from pipeline.pocket.weather import RAIN_COLOUR, Weather, rain_shifts, slid, turn

VIEW = View(416, 240)
SKY = Weather(0, VIEW)
SUNSET = torch.tensor([230.0, 140.0, 60.0])[:, None, None].expand(3, VIEW.height, VIEW.width).contiguous()


def over(frame: torch.Tensor, time_s: float = 2.0, pose: Pose = REST, **amounts: float) -> torch.Tensor:
    told = torch.tensor([amounts.get(name, 0.0) for name in ("rain", "snow", "fog")])
    fields = torch.zeros(CHANNELS, *GRID)
    fields[WEATHER] = told[:, None, None]
    return SKY.over(frame, fields, time_s, pose)


def between_drops(frame: torch.Tensor) -> np.ndarray:
    """Red, green and blue where no drop is: most of the frame."""
    return frame.flatten(1).median(1).values.numpy()


def test_the_light_falls_with_rain() -> None:
    """The more rain, the dimmer, the greyer and the cooler is the scene between the drops."""
    lights = np.array([between_drops(over(SUNSET, rain=amount)) for amount in (0.0, 0.4, 0.8, 1.3)])
    assert (np.diff(lights.mean(1)) < -5).all()
    assert (np.diff(np.ptp(lights, axis=1) / lights.mean(1)) < -0.05).all()
    assert (np.diff(lights[:, 0] / lights[:, 2]) < -0.1).all()


def test_a_grey_scene_turns_blue_under_rain() -> None:
    """Rain is cool by itself, not only by the warmth that it takes."""
    red, _, blue = between_drops(over(torch.full_like(SUNSET, 120.0), rain=1.0))
    assert blue > red + 4


def test_drops_are_brighter_than_what_is_behind() -> None:
    """Dimmed as the scene is, drops stand out against it, by no more than their own colour."""
    wet = over(torch.full_like(SUNSET, 60.0), rain=1.0)
    assert float(wet[1].max()) > float(wet[1].median()) + 40
    assert float(wet.amax()) <= max(RAIN_COLOUR)


def test_rain_goes_past_a_camera_the_near_faster() -> None:
    """In a pan to the right drops go left, where near by more than the picture; a tilt moves them up or down."""
    ways = [
        now[0] - before[0]
        for now, before in zip(rain_shifts(2.0, 1.0, Pose(x=50.0)), rain_shifts(2.0, 1.0), strict=True)
    ]
    assert ways == sorted(ways, reverse=True)
    assert ways[0] <= -49
    assert ways[-1] < -70
    assert rain_shifts(2.0, 1.0, Pose(y=50.0))[0][1] == rain_shifts(2.0, 1.0)[0][1] - 60


def test_a_sheet_turns_with_the_picture() -> None:
    """A quarter of a turn clockwise takes what is above to the right; what repeats goes on beyond its edge."""
    sheet = torch.rand(8, 8)
    lapped = F.pad(sheet[None, None], (0, 1, 0, 1), mode="circular")[0, 0]
    turned = slid(lapped, torch.zeros(1, 2), turn(np.pi / 2)[None])[0]
    assert torch.allclose(turned, sheet.rot90(-1), atol=1e-4)
    shifted = slid(lapped, torch.tensor([[3.0, 0.0]]), turn(np.pi / 2)[None])[0]
    assert torch.allclose(shifted, sheet.roll(-3, 1).rot90(-1), atol=1e-4)


@pytest.mark.parametrize("moved", [(0, 0), (5, -3), (-200, 1000)])
def test_rain_goes_on_beyond_its_sheets_edges(moved: tuple[int, int]) -> None:
    """Each sheet, moved right and down by any pixels, comes in again on the other side."""
    shifts = [moved, (moved[1], moved[0]), (0, 7)]
    rolled = [sheet[:-1, :-1].roll((y, x), (0, 1)) for sheet, (x, y) in zip(SKY.rain, shifts, strict=True)]
    assert torch.equal(SKY._falling(shifts, 0.0), torch.stack(rolled).sum(0).clamp(0, 0.95))
    for sheet in SKY.rain:
        assert torch.equal(sheet[-1], sheet[0])
        assert torch.equal(sheet[:, -1], sheet[:, 0])


def test_a_rolled_camera_sees_rain_fall_aslant() -> None:
    """Streaks are steep at rest, and slant by the roll."""

    def slope(roll: float) -> float:
        grey = over(torch.full_like(SUNSET, 60.0), pose=Pose(roll=roll), rain=1.0)[1].numpy()
        dy, dx = np.gradient(grey - np.median(grey))
        return 0.5 * np.arctan2(2 * (dx * dy).sum(), (dx * dx - dy * dy).sum())

    assert slope(0.4) - slope(0.0) == pytest.approx(0.4, abs=0.15)


def test_thick_fog_leaves_the_lower_part_readable() -> None:
    """What is near keeps half of its contrast under the thickest fog, far more than what is far."""
    stripes = torch.arange(VIEW.width).remainder(8).lt(4).float().mul(120).add(40).expand(3, VIEW.height, -1)
    kept = over(stripes.contiguous(), fog=1.35).diff(dim=2).abs().mean((0, 2)) / stripes.diff(dim=2).abs().mean((0, 2))
    far, near = (float(part.mean()) for part in (kept[: VIEW.height // 5], kept[-VIEW.height // 5 :]))
    assert near > 0.5
    assert near > far + 0.1


def test_no_weather_leaves_the_frame_as_it_is() -> None:
    """Amounts of zero change no bit, and the frame that was given is never written to."""
    frame = SUNSET.clone()
    assert torch.equal(over(frame), SUNSET)
    for name in ("rain", "snow", "fog"):
        given = frame.clone()
        over(given, 2.0, REST, **{name: 1.0})
        assert torch.equal(given, frame)
