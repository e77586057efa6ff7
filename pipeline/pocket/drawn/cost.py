"""What drawing costs: ``python -m pipeline.pocket.drawn.cost PICTURE`` prints CPU milliseconds a frame by effect.

On one thread, the least of several frames, at the time the picture is at rest; beside it what it takes to read every
pixel of a frame once (a bilinear sampling), to tell how busy the machine is.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from pipeline.factory import LAYERS_WEIGHTS, SALIENT_WEIGHTS
from pipeline.picture import read_picture
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.drawn.draw import draw
from pipeline.pocket.drawn.drawing import Drawing, Wish
from pipeline.pocket.drawn.marks import with_marks
from pipeline.pocket.drawn.shot import Shot
from pipeline.pocket.drawn.wet import wetted
from pipeline.pocket.drawn.wetness import Wetness
from pipeline.pocket.layers import with_layers
from pipeline.pocket.layers_weights import read_finder
from pipeline.pocket.looking import find
from pipeline.pocket.names import DEFAULT_REGION, DRAWN
from pipeline.pocket.pose import Pose
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.types import Pixels

TIMES = 16


@torch.inference_mode()
def seen(image: Pixels) -> Canvas:
    """A picture ``uint8 [H, W, 3]`` with its layers and marks."""
    canvas = prepare(image, WIDTH, HEIGHT)
    return with_marks(with_layers(canvas, find(read_finder(LAYERS_WEIGHTS, SALIENT_WEIGHTS), canvas)))


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU milliseconds of some work, the least of TIMES."""
    times: list[float] = []
    for _ in range(TIMES):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return 1000 * min(times)


@torch.inference_mode()
def main() -> None:
    """Print one line for each effect that is drawn on frames, and one for the reading of every pixel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    torch.set_num_threads(1)
    canvas = seen(read_picture(parser.parse_args().picture))
    assert canvas.marks is not None
    print(f"marks of the picture, once: {cpu_ms(lambda: with_marks(canvas)):.0f} ms")
    frame = canvas.rest.permute(2, 0, 1).float().contiguous()
    grid = F.affine_grid(torch.tensor([[[0.99, 0, 0], [0, 0.99, 0]]]), [1, 3, HEIGHT, WIDTH], align_corners=False)
    print(f"every pixel read once: {cpu_ms(lambda: F.grid_sample(frame[None], grid, align_corners=False)):.1f} ms")
    for pose, where in ((Pose(), "at rest"), (Pose(x=9.3, y=4.1, zoom=0.02), "from another pose")):
        shot = Shot(canvas.view, pose, canvas, canvas.marks, seed=1)
        told: list[str] = []
        for name in DRAWN:
            state = Drawing()
            for _ in range(10):
                state = state.after({name: Wish(1.0, DEFAULT_REGION[name])}, 1)
            _, effects = state.towards(state.after(None, 1), 0.5)
            copying = cpu_ms(frame.clone)
            told.append(f"{name} {cpu_ms(lambda: draw(frame.clone(), shot, effects)) - copying:.1f}")  # noqa: B023
        for name, wet in (("wet ground", Wetness(0.0, 1.0)), ("rings on water", Wetness(1.0, 0.0))):
            copying = cpu_ms(frame.clone)
            told.append(f"{name} {cpu_ms(lambda: wetted(frame.clone(), shot, wet, 3.0)) - copying:.1f}")  # noqa: B023
        print(f"{where}: {', '.join(told)} ms")


if __name__ == "__main__":
    main()
