"""All that is drawn on one frame: first what moves its pixels, then its light, then what floats before it."""

from collections.abc import Callable

from torch import Tensor

from pipeline.pocket.drawn.drawing import Drawn
from pipeline.pocket.drawn.light import aurora, day, fire, hue, twinkle
from pipeline.pocket.drawn.motes import dust, leaves, smoke, sparks
from pipeline.pocket.drawn.shot import Shot
from pipeline.pocket.drawn.water import heat, stream, waves

Draws = Callable[[Tensor, Shot, Drawn], Tensor]

ORDER: tuple[tuple[str, Draws], ...] = (
    ("stream", stream), ("waves", waves), ("heat", heat), ("hue", hue), ("day", day), ("aurora", aurora),
    ("twinkle", twinkle), ("fire", fire), ("fire", sparks), ("smoke", smoke), ("dust", dust), ("leaves", leaves),
)  # fmt: skip


def draw(image: Tensor, shot: Shot, drawn: dict[str, Drawn]) -> Tensor:
    """Draw on a frame ``float32 [3, H, W]`` in 0..255, which may be painted over; give it."""
    for name, effect in ORDER:
        if name in drawn:
            image = effect(image, shot, drawn[name])
    return image
