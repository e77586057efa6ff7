"""The decoder for a GPU; its arithmetic is held on the CPU, its graphs on a GPU."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.pocket import gpu_decoder, gpu_frames
from pipeline.pocket.canvas import Canvas, prepare, with_sky
from pipeline.pocket.decoder import AnchoredDecoder, Motion
from pipeline.pocket.depth import Depth
from pipeline.pocket.depth_strength import Strength
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.latents import CHANNELS, DISPLACEMENT, FLOW, GAIN, GRID, WEATHER, camera_field
from pipeline.pocket.layers import FOLIAGE, REST, SKY, SUBJECT, WATER, with_layers
from pipeline.pocket.reach import LIGHT, MOTION, everything
from pipeline.pocket.reach import WEATHER as COVER
from pipeline.pocket.view import View
from tests.pocket_parts import picture

VIEW, FRAMES = View(208, 120), 3
CPU = torch.device("cpu")


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
def on_cpu() -> GpuDecoder:
    return GpuDecoder(VIEW, FRAMES, CPU)


@cache
def on_gpu() -> GpuDecoder:
    return GpuDecoder(VIEW, FRAMES, torch.device("cuda"))


@torch.inference_mode()
def played(decoder: AnchoredDecoder | GpuDecoder, effects: tuple[str, ...], device: torch.device = CPU) -> np.ndarray:
    seen, motion, out = on(canvas(), device), Motion.at_rest(device), list[np.ndarray]()
    for number, z in enumerate(latents(*effects)):
        frames, motion = decoder.decode(motion, z.to(device), seen, FRAMES - number % 2)
        out.append(frames.cpu().numpy().copy())
    return np.concatenate(out)


@cache
def by_layers() -> Canvas:
    """The same picture over a lake, with leaves, and somebody before them, in its layers."""
    shares = torch.zeros(1, 5, 96, 168)
    shares[:, SKY, :48], shares[:, REST, 48:72], shares[:, WATER, 72:] = 1, 1, 1
    for kind, rows, columns in ((FOLIAGE, slice(30, 66), slice(20, 100)), (SUBJECT, slice(40, 90), slice(60, 84))):
        shares[:, :, rows, columns] = 0
        shares[:, kind, rows, columns] = 1
    image = picture().copy()
    image[:250] = (150, 190, 235)
    return with_layers(prepare(image, VIEW.width, VIEW.height), shares)


@cache
def deep() -> Canvas:
    """The picture in its layers, the lower the nearer, with somebody who stands out."""
    slope = torch.linspace(-0.3, 0.3, 60)[:, None].expand(60, 104)
    return replace(by_layers(), depth=Depth(slope[None].contiguous(), 0.25))


def on(given: Canvas, device: torch.device) -> Canvas:
    return cast(Canvas, moved(given, device))


def moved(given: object, device: torch.device) -> object:
    """A tensor, or all tensors of a tree of dataclasses, on a device."""
    if isinstance(given, torch.Tensor):
        return given.to(device)
    if is_dataclass(given) and not isinstance(given, type):
        return replace(given, **{f.name: moved(getattr(given, f.name), device) for f in fields(given)})
    return given


@torch.inference_mode()
def reached(
    decoder: AnchoredDecoder | GpuDecoder,
    effects: tuple[str, ...],
    goal: Tensor,
    device: torch.device = CPU,
    canvas: Canvas | None = None,
) -> np.ndarray:
    """Frames of a picture with layers, under words that come to reach but some of them."""
    seen, motion = on(canvas or by_layers(), device), Motion.at_rest(device)
    out: list[np.ndarray] = []
    for number, z in enumerate(latents(*effects)):
        aimed = motion if number == 0 else motion.aimed(goal)
        frames, motion = decoder.decode(aimed, z.to(device), seen, FRAMES)
        out.append(frames.cpu().numpy().copy())
    assert torch.equal(motion.reach, motion.heading)
    assert bool((motion.reach < 1).any()) == bool((goal < 1).any())
    return np.concatenate(out)


def all_but(row: int, *kinds: int) -> Tensor:
    reach = everything()
    reach[row, list(kinds)] = 0
    return reach


EFFECTS = [
    ("camera",),
    ("swing", "light"),
    ("flow",),
    ("rain",),
    ("snow",),
    ("fog",),
    ("camera", "rain", "fog"),
    ("camera", "swing", "flow", "snow"),
]


@pytest.mark.parametrize("effects", EFFECTS, ids="+".join)
def test_its_frames_are_the_plain_decoders(effects: tuple[str, ...]) -> None:
    """All frames at once are those made one by one, to a grey level, and they move; for fewer frames too."""
    made = played(on_cpu(), effects)
    apart = np.abs(made.astype(int) - played(anchored(), effects))
    assert apart.max() <= 1
    assert apart.mean() < 0.01
    assert any(not np.array_equal(a, b) for a, b in itertools.pairwise(made))


def test_a_portrait_is_the_plain_decoders() -> None:
    """In another shape too the frames are those, with camera, swing, flow and weather, over layers."""
    view = View(120, 208)
    canvas = prepare(picture(0, 900, 500), view.width, view.height)
    shares = torch.zeros(1, 5, 168, 96)
    shares[:, SKY, :60], shares[:, REST, 60:120], shares[:, WATER, 120:] = 1, 1, 1
    goal = all_but(MOTION, REST, SKY)
    made: list[np.ndarray] = []
    for decoder in (AnchoredDecoder(view=view), GpuDecoder(view, FRAMES, CPU)):
        seen, motion, shown = with_layers(canvas, shares), Motion.at_rest(), list[np.ndarray]()
        for z in latents("camera", "swing", "flow", "snow"):
            frames, motion = decoder.decode(motion.aimed(goal), z, seen, FRAMES)
            shown.append(frames.numpy().astype(int))
        made.append(np.concatenate(shown))
    assert made[0].shape[1:] == (208, 120, 3)
    apart = np.abs(made[0] - made[1])
    assert apart.max() <= 2
    assert apart.mean() < 0.01


GOALS = {
    "water": (("camera", "swing"), all_but(MOTION, REST, SKY, FOLIAGE, SUBJECT)),
    "foliage": (("camera", "swing", "flow"), all_but(MOTION, REST, SKY, WATER, SUBJECT)),
    "subject": (("swing",), all_but(MOTION, REST, SKY, FOLIAGE, WATER)),
    "light": (("light", "camera"), all_but(LIGHT, SUBJECT, WATER)),
    "weather": (("fog", "snow"), all_but(COVER, SUBJECT)),
    "everything": (("camera", "swing", "light", "flow", "fog"), everything()),
}


@pytest.mark.parametrize("name", GOALS)
def test_layers_move_as_the_plain_decoder_moves_them(name: str) -> None:
    """Whatever layer words reach, by motion, light or weather: the plain decoder's frames, to a grey level or two."""
    made, plain = (reached(d, *GOALS[name]).astype(int) for d in (on_cpu(), anchored()))
    apart = np.abs(made - plain)
    assert np.quantile(apart, 0.999) <= 1
    assert apart.max() <= 3
    assert apart.mean() < 0.02
    assert np.abs(plain - by_layers().rest.numpy().astype(int)).max() > 10


DEEP = {
    "camera": (("camera",), everything()),
    "subject": (("camera", "swing"), all_but(MOTION, REST, SKY, FOLIAGE, WATER)),
    "foliage": (("camera", "swing", "flow"), all_but(MOTION, REST, SKY, WATER, SUBJECT)),
    "light": (("light", "camera"), all_but(LIGHT, SUBJECT, WATER)),
    "weather": (("camera", "fog"), all_but(COVER, SUBJECT)),
    "everything": (("camera", "swing", "light", "flow"), everything()),
}


@pytest.mark.parametrize("name", DEEP)
def test_depth_is_the_plain_decoders(name: str) -> None:
    """A picture of near and far, and a subject before it, from a camera that has moved: the plain decoder's frames."""
    decoders = (on_cpu(), anchored())
    made, plain = (reached(d, *DEEP[name], canvas=deep()).astype(int) for d in decoders)
    apart = np.abs(made - plain)
    assert np.quantile(apart, 0.999) <= 1
    assert apart.max() <= 3
    assert np.abs(plain - reached(anchored(), *DEEP[name])).max() > 10


@torch.inference_mode()
def faded(decoder: AnchoredDecoder | GpuDecoder, strength: Strength) -> np.ndarray:
    """The frames of a latent of a pan, from a camera that has moved, with so much of depth."""
    motion, (first, *_, last) = Motion.at_rest(), latents("camera", "swing")
    for _ in range(4):
        motion = decoder.decode(motion, first, deep(), FRAMES)[1]
    return decoder.decode(replace(motion, depth=strength), last, deep(), FRAMES)[0].numpy().astype(int)


@pytest.mark.parametrize("strength", [Strength(4, 3), Strength(1, 0), Strength(0, 0)], ids=["midst", "end", "none"])
def test_depth_that_goes_is_the_plain_decoders(strength: Strength) -> None:
    """In the midst of its going, at the end of that and without it: the plain decoder's frames."""
    made, plain = faded(on_cpu(), strength), faded(anchored(), strength)
    apart = np.abs(made - plain)
    assert np.quantile(apart, 0.999) <= 1
    assert apart.max() <= 3
    assert np.abs(faded(on_cpu(), Strength()) - made).max() > 10


@pytest.mark.parametrize(("strength", "is_by_layers"), [(Strength(1, 0), True), (Strength(0, 0), False)])
def test_without_depth_no_subject_is_set_off(
    strength: Strength, is_by_layers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subject that stands before a flat picture lies where it lies: layers are left out, and with them their time."""
    ways: list[bool] = []
    shown = GpuDecoder._shown

    def noted(self: GpuDecoder, way: gpu_frames.GpuFrames, *inputs: Any) -> Tensor:
        ways.append(way is self._ways[True])
        return shown(self, way, *inputs)

    monkeypatch.setattr(GpuDecoder, "_shown", noted)
    on_cpu().decode(replace(Motion.at_rest(), depth=strength), next(latents("camera")), deep(), FRAMES)
    assert ways == [is_by_layers]


def test_rest_is_the_picture_to_the_bit() -> None:
    """Half precision and interpolation lose nothing that a grey level shows."""
    made = played(on_cpu(), ())
    assert all(np.array_equal(frame, canvas().rest.numpy()) for frame in made)


def test_the_state_is_the_plain_decoders() -> None:
    """Camera and recent latents come out the same, so that what differs does not add up."""
    motions = [Motion.at_rest(), Motion.at_rest()]
    decoder = on_cpu()
    for z in latents("camera", "swing"):
        _, motions[0] = anchored().decode(motions[0], z, canvas(), FRAMES)
        _, motions[1] = decoder.decode(motions[1], z, canvas(), FRAMES)
    assert motions[0].camera == motions[1].camera
    assert torch.equal(motions[0].recent, motions[1].recent)


class Replayed:
    """Stands in for a CUDA graph: its inputs and outputs stay where they were when it was made."""

    def __init__(self, function: Callable[..., Any], inputs: Sequence[Tensor], pool: object = None) -> None:
        self.function, self.inputs = function, [given.clone() for given in inputs]
        self.outputs = function(*self.inputs)

    def __call__(self, *inputs: Tensor) -> Any:
        for held, given in zip(self.inputs, inputs, strict=True):
            held.copy_(given)
        settle(self.outputs, self.function(*self.inputs))
        return self.outputs


def settle(held: Any, made: Any) -> None:
    if isinstance(held, tuple):
        for one, other in zip(cast(tuple[Any, ...], held), made, strict=True):
            settle(one, other)
    else:
        held.copy_(made)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host pretends to record."""
    for module in (gpu_decoder, gpu_frames):
        monkeypatch.setattr(module, "Recorded", Replayed)
        monkeypatch.setattr(module, "may_record", lambda device: True)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)


@pytest.mark.usefixtures("recording")
def test_what_one_latent_left_is_not_seen_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over tensors that stay where they are, in two groups, effects come and go as on the plain decoder, by turns with
    a picture that has layers."""
    monkeypatch.setattr(gpu_decoder, "AT_ONCE", 2 * VIEW.width * VIEW.height)
    decoder = GpuDecoder(VIEW, FRAMES, CPU)
    for effects in (EFFECTS[-1], ("camera",)):
        apart = np.abs(played(decoder, effects).astype(int) - played(anchored(), effects))
        assert apart.max() <= 1
        layered = np.abs(reached(decoder, *GOALS["weather"]).astype(int) - reached(anchored(), *GOALS["weather"]))
        assert np.quantile(layered, 0.999) <= 1


@pytest.mark.gpu
@pytest.mark.parametrize("effects", EFFECTS, ids="+".join)
def test_a_gpu_makes_the_cpus_frames(effects: tuple[str, ...]) -> None:
    """Recorded, on a GPU, the frames are the CPU's but for a grey level here and there."""
    device = torch.device("cuda")
    apart = np.abs(played(on_gpu(), effects, device).astype(int) - played(anchored(), effects))
    assert apart.max() <= 2
    assert apart.mean() < 0.02


@pytest.mark.gpu
@pytest.mark.parametrize("name", GOALS)
def test_a_gpu_moves_layers_as_the_cpu_does(name: str) -> None:
    """Recorded, by turns with a picture that has no layers."""
    device = torch.device("cuda")
    played(on_gpu(), ("fog",), device)
    effects, goal = GOALS[name]
    apart = np.abs(reached(on_gpu(), effects, goal, device).astype(int) - reached(anchored(), effects, goal))
    assert np.quantile(apart, 0.999) <= 1
    assert apart.max() <= 4
    assert apart.mean() < 0.03


@pytest.mark.gpu
@pytest.mark.parametrize("name", DEEP)
def test_a_gpu_sees_depth_as_the_cpu_does(name: str) -> None:
    """Recorded, after a picture that has none."""
    device = torch.device("cuda")
    played(on_gpu(), ("fog",), device)
    made = reached(on_gpu(), *DEEP[name], device=device, canvas=deep()).astype(int)
    apart = np.abs(made - reached(anchored(), *DEEP[name], canvas=deep()))
    assert np.quantile(apart, 0.999) <= 1
    assert apart.max() <= 4


@pytest.mark.gpu
def test_the_graph_is_the_same_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded and not, with two streams by turns: the same frames to the bit."""
    device, effects = torch.device("cuda"), EFFECTS[-1]
    recorded = GpuDecoder(VIEW, FRAMES, device)
    played(recorded, ("fog",), device)
    made = played(recorded, effects, device).astype(int)
    monkeypatch.setenv("NO_CUDA_GRAPH", "1")
    assert np.array_equal(made, played(GpuDecoder(VIEW, FRAMES, device), effects, device))
