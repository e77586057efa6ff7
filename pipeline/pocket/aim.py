"""What a prompt asks for, and the part of the way there that a latent goes."""

from dataclasses import replace

from pipeline.pocket.drawn.drawing import wishes_of
from pipeline.pocket.network import Text
from pipeline.pocket.reach import goal
from pipeline.state import Boundary, StreamState


def aimed_at(here: Boundary, text: Text, state: StreamState) -> Boundary:
    """The boundary from which the next latent goes a part of the way to what is asked for."""
    motion, layers = here.motion.wishing(wishes_of(text.asked), state.seed), state.canvas.layers
    if layers is not None:
        motion = motion.aimed(goal(text.asked, text.is_behind, layers, motion.reach))
    return replace(here, motion=motion, asking=here.asking.after(text.asked))
