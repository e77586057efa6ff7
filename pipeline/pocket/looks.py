"""Another scene in a running stream, and the way back to the one before while frames of it may be thrown away."""

from pipeline.cache import KVCache
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.fade import fade_from
from pipeline.pocket.network import Scene
from pipeline.pocket.painter.scenery import Scenery
from pipeline.state import Look, StreamState
from pipeline.types import Conditioning

# Long enough to be seen as a change of the scene, not of the shot.
FADE_S = 1.5


def fade_s(asked: Conditioning) -> float:
    """Give the seconds in which another scene comes: by ``cut`` none, by ``blend`` those that were asked for."""
    if asked.policy == "blend":
        return asked.over_s
    return 0.0 if asked.policy == "cut" else FADE_S


def turn(state: StreamState, seen: tuple[Canvas, Scene, KVCache], scenery: Scenery, seconds: float) -> None:
    """Have a stream go on in another scene, by a cross-fade from its newest latent on; its cache is to be read back."""
    here = state.now.latents
    before = Look(here, state.canvas, state.scene, state.cache, state.read_from, state.fade, state.scenery)
    state.looks.append(before)
    fade = fade_from(state.canvas, state.fade, here, seconds)
    state.canvas, state.scene, state.cache = seen
    state.fade, state.scenery = fade, scenery
    state.cache.latents = state.read_from = here


def turn_back(state: StreamState, latent: int) -> None:
    """Take back every scene that came at ``latent`` or later."""
    while state.looks and state.looks[-1].until >= latent:
        look = state.looks.pop()
        state.canvas, state.scene, state.cache = look.canvas, look.scene, look.cache
        state.read_from, state.fade, state.scenery = look.read_from, look.fade, look.scenery


def forget(state: StreamState, latent: int) -> None:
    """Let go of scenes that only what lies before ``latent`` could go back to: each holds a picture."""
    state.looks = [look for look in state.looks if look.until >= latent]
