"""The decoder for a GPU; its arithmetic is held on the CPU, its graphs on a GPU."""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.pocket.canvas import Canvas, prepare, with_sky
from pipeline.pocket.decoder import AnchoredDecoder, Motion
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.latents import CHANNELS, DISPLACEMENT, FLOW, GAIN, GRID, WEATHER, camera_field
from pipeline.pocket.view import View
from tests.pocket_parts import picture

VIEW, FRAMES = View(208, 120), 5
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """What one function was compiled for is bounded, and every test compiles it for an object of its own."""
    yield
    torch.compiler.reset()


@cache
def canvas() -> Canvas:
    """A picture whose upper half is sky, with something before it."""
    image = picture().copy()
    image[:250] = (150, 190, 235)
    image[100:250, 400:420] = 20
    guess = torch.zeros(1, 1, *GRID)
    guess[:, :, :16] = 1
    return with_sky(prepare(image, VIEW.width, VIEW.height), guess)


def latents(*effects: str) -> Iterator[Tensor]:
    """Latents that begin at rest and come to do all that is named, differently each time."""
    slope = torch.linspace(1, 0, GRID[0])[:, None]
    for number in range(4):
        z = torch.zeros(CHANNELS, *GRID)
        if "camera" in effects:
            z[:2] = camera_field(torch.tensor([[1.0, -0.3, 0.5, 0.2]]))[0]
        if "swing" in effects:
            z[DISPLACEMENT] = 0.5 * float(np.sin(number))
        if "flow" in effects:
            z[FLOW] = 0.6 * slope * number
        if "light" in effects:
            z[GAIN] = -0.1 * number * slope
        for index, name in enumerate(("rain", "snow", "fog")):
            if name in effects and number > 1:
                z[WEATHER.start + index] = 0.4 * slope
        yield z


@cache
def anchored() -> AnchoredDecoder:
    return AnchoredDecoder(view=VIEW)


@cache
def on_gpu() -> GpuDecoder:
    return GpuDecoder(VIEW, FRAMES, torch.device("cuda"))


@torch.inference_mode()
def played(decoder: AnchoredDecoder | GpuDecoder, effects: tuple[str, ...], device: torch.device = CPU) -> np.ndarray:
    seen, motion, out = on(decoder.take_in(canvas()), device), Motion.at_rest(device), list[np.ndarray]()
    for number, z in enumerate(latents(*effects)):
        frames, motion = decoder.decode(motion, z.to(device), seen, FRAMES - number % 2)
        out.append(frames.cpu().numpy().copy())
    return np.concatenate(out)


def on(given: Canvas, device: torch.device) -> Canvas:
    return Canvas(*(part.to(device) for part in (given.texture, given.rest, given.sky, given.plate)))


EFFECTS = [
    ("camera",),
    ("swing", "light"),
    ("flow",),
    ("rain",),
    ("snow",),
    ("fog",),
    ("camera", "swing", "flow", "snow"),
]


@pytest.mark.parametrize("effects", EFFECTS, ids="+".join)
def test_its_frames_are_the_plain_decoders(effects: tuple[str, ...]) -> None:
    """All frames at once are those made one by one, to a grey level, and they move; for fewer frames too."""
    made = played(GpuDecoder(VIEW, FRAMES, CPU), effects)
    apart = np.abs(made.astype(int) - played(anchored(), effects))
    assert apart.max() <= 1
    assert apart.mean() < 0.01
    assert any(not np.array_equal(a, b) for a, b in itertools.pairwise(made))


def test_rest_is_the_picture_to_the_bit() -> None:
    """Half precision and interpolation lose nothing that a grey level shows."""
    made = played(GpuDecoder(VIEW, FRAMES, CPU), ())
    assert all(np.array_equal(frame, canvas().rest.numpy()) for frame in made)


def test_the_state_is_the_plain_decoders() -> None:
    """Camera and recent latents come out the same, so that what differs does not add up."""
    motions = [Motion.at_rest(), Motion.at_rest()]
    decoder = GpuDecoder(VIEW, FRAMES, CPU)
    for z in latents("camera", "swing"):
        _, motions[0] = anchored().decode(motions[0], z, canvas(), FRAMES)
        _, motions[1] = decoder.decode(motions[1], z, decoder.take_in(canvas()), FRAMES)
    assert motions[0].camera == motions[1].camera
    assert torch.equal(motions[0].recent, motions[1].recent)


@pytest.mark.gpu
@pytest.mark.parametrize("effects", EFFECTS, ids="+".join)
def test_a_gpu_makes_the_cpus_frames(effects: tuple[str, ...]) -> None:
    """Compiled and recorded, on a GPU, the frames are the CPU's but for a grey level here and there."""
    device = torch.device("cuda")
    apart = np.abs(played(on_gpu(), effects, device).astype(int) - played(anchored(), effects))
    assert apart.max() <= 2
    assert apart.mean() < 0.02


@pytest.mark.gpu
def test_the_graph_is_the_same_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded and not, compiled and not, with two streams by turns: the same frames but for rounding."""
    device, effects = torch.device("cuda"), EFFECTS[-1]
    recorded = GpuDecoder(VIEW, FRAMES, device)
    played(recorded, ("fog",), device)
    made = played(recorded, effects, device).astype(int)
    monkeypatch.setenv("NO_CUDA_GRAPH", "1")
    assert np.array_equal(made, played(GpuDecoder(VIEW, FRAMES, device), effects, device))
    monkeypatch.setenv("NO_TORCH_COMPILE", "1")
    assert np.abs(made - played(GpuDecoder(VIEW, FRAMES, device), effects, device)).max() <= 1
    monkeypatch.delenv("NO_CUDA_GRAPH")
    assert np.abs(made - played(GpuDecoder(VIEW, FRAMES, device), effects, device)).max() <= 1
