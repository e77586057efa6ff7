"""Takes of drawn effects that are set on directly: the real layers and decoder, and no words and no transformer."""

from collections.abc import Iterable

import torch

from pipeline.pocket.arrival import arrived, told
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import Motion
from pipeline.pocket.drawn.drawing import Wish
from pipeline.pocket.latents import CHANNELS, GRID
from pipeline.pocket.sparse import Notes, SparseDecoder
from pipeline.types import Pixels

FRAMES = 4


@torch.inference_mode()
def played(canvas: Canvas, wishes: dict[str, Wish], wanted: Iterable[int], seed: int = 1) -> dict[int, Pixels]:
    """Play what is wished for from rest; give the wanted frames, by their number at 16 a second."""
    decoder, motion, frames = SparseDecoder(view=canvas.view), Motion.at_rest(), frozenset(wanted)
    decoder.notes = Notes(frames)
    coarse = torch.zeros(5, *GRID) if canvas.layers is None else canvas.layers.coarse
    found: dict[int, Pixels] = {}
    for latent in range(max(frames) // FRAMES + 1):
        motion = motion.wishing(wishes, seed)
        # Stars by day bring dusk along, as they do live.
        shown = arrived(torch.zeros(CHANNELS, *GRID), motion.recent, coarse, told(motion.drawing, None, canvas))
        pixels, motion = decoder.decode(motion, shown, canvas, FRAMES)
        found |= {n: pixels[n % FRAMES].numpy() for n in range(latent * FRAMES, (latent + 1) * FRAMES) if n in frames}
    return found
