"""How the script of warps moves things: one affine camera, and sines that displace what lies under a mask."""

import math

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.float32]
# A pan needs room beyond the frame: the picture is shown so much larger.
ROOM = 1.22


def eased(share: float) -> float:
    """From 0 to 1 with a soft start and end, even in between."""
    share = min(max(share, 0.0), 1.0)
    ramp = 0.15
    if share < ramp:
        return share * share / (2 * ramp * (1 - ramp))
    if share > 1 - ramp:
        return 1 - (1 - share) ** 2 / (2 * ramp * (1 - ramp))
    return (share - ramp / 2) / (1 - ramp)


def camera(name: str, speed: float, second: float, seconds: float, size: tuple[int, int]) -> Matrix:
    """The affine ``[2, 3]`` from a place of the frame to a place of the picture's view, both in px of ``size``."""
    width, height = size
    # What is quick is done in half of the time.
    share = eased(second / seconds * (2 if speed > 1 else 1))
    zoom, shift_x, shift_y, roll = 1.0, 0.0, 0.0, 0.0
    if name in ("pan_left", "pan_right", "tilt_up", "tilt_down"):
        zoom = 1 + (ROOM - 1) * (1.6 if speed > 1 else 0.8 if speed < 1 else 1.0)
        side = {"pan_left": (-1, 0), "pan_right": (1, 0), "tilt_up": (0, -1), "tilt_down": (0, 1)}[name]
        room = (1 - 1 / zoom) * (share - 0.5)
        shift_x, shift_y = side[0] * room * width, side[1] * room * height
    elif name == "zoom_in":
        zoom = math.exp(share * math.log(1 + 0.4 * speed))
    elif name == "zoom_out":
        zoom = math.exp((1 - share) * math.log(1 + 0.4 * speed))
    elif name in ("roll_cw", "roll_ccw"):
        roll = math.radians(10 * speed) * share * (1 if name == "roll_ccw" else -1)
        # As large as it takes for no corner to show.
        zoom = math.cos(abs(roll)) + width / height * math.sin(abs(roll))
    elif name == "shake":
        zoom = 1.05
        waves = [(2.3, 5.0, 0.0), (3.7, 3.0, 1.3), (5.9, 1.6, 2.1)]
        shift_x = sum(a * math.sin(2 * math.pi * f * second + p) for f, a, p in waves)
        shift_y = sum(a * math.sin(2 * math.pi * f * 1.13 * second + 2 * p + 1) for f, a, p in waves)
        roll = math.radians(0.4) * math.sin(2 * math.pi * 1.7 * second)
    elif name in ("gentle", "dolly"):
        zoom = 1.02 + 0.1 * share
        shift_x = 0.012 * width * (share - 0.5)
    cos, sin = math.cos(roll) / zoom, math.sin(roll) / zoom
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[cos, -sin, x + shift_x - cos * x + sin * y], [sin, cos, y + shift_y - sin * x - cos * y]])


def sway(x: Mask, y: Mask, second: float, strength: float) -> tuple[Mask, Mask]:
    """Displacement in px of leaves in gusts."""
    gust = 0.65 + 0.35 * np.sin(0.9 * second - x / 260)
    slow = np.sin(2.4 * second + x / 70 + y / 110)
    quick = 0.35 * np.sin(6.1 * second + x / 19 + y / 27)
    bend = 4.5 * strength * gust * (slow + quick)
    return np.asarray(bend, np.float32), np.asarray(0.3 * bend, np.float32)


def ripple(y: Mask, x: Mask, second: float, strength: float) -> tuple[Mask, Mask]:
    """Displacement in px of water whose waves are shorter the farther they are; the second part is their slope."""
    top = float(y.min())
    phase = 46 * np.log1p(np.maximum(y - top, 0) / 60) - 3.2 * second
    near = 0.4 + np.clip((y - top) / 400, 0, 1)
    wave = np.sin(phase + 0.7 * np.sin(x / 45 + 0.8 * second)) + 0.5 * np.sin(1.7 * phase + x / 31 - second)
    slope = np.cos(phase + 0.7 * np.sin(x / 45 + 0.8 * second))
    return np.asarray(2.2 * strength * near * wave, np.float32), np.asarray(slope, np.float32)


def swell(x: Mask, y: Mask, second: float, strength: float) -> tuple[Mask, Mask]:
    """Displacement in px of waves that roll."""
    phase = y / 26 + x / 150 - 2.0 * second
    return (
        np.asarray(5.0 * strength * np.cos(phase), np.float32),
        np.asarray(7.0 * strength * np.sin(phase) + 2 * np.sin(2.3 * phase + x / 40), np.float32),
    )


def breath(x: Mask, y: Mask, middle: tuple[float, float], second: float, strength: float) -> tuple[Mask, Mask]:
    """Displacement in px of a body that widens and narrows."""
    size = 0.022 * strength * math.sin(2 * math.pi * second / 3.6)
    return np.asarray(-size * (x - middle[0]), np.float32), np.asarray(-0.7 * size * (y - middle[1]), np.float32)


def heat(x: Mask, y: Mask, second: float, strength: float) -> tuple[Mask, Mask]:
    """Displacement in px of air that rises."""
    flutter = np.sin(y / 7 + 7 * second + 1.5 * np.sin(x / 31)) * np.sin(x / 13 + 2.1 * second)
    return np.asarray(1.6 * strength * flutter, np.float32), np.asarray(0.8 * strength * flutter, np.float32)
