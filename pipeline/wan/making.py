"""A stream's window, and the quick way of the transformer over it, by plan and parts."""

from pipeline.networks.packed import can_multiply_fp8
from pipeline.quantize import StoredLinear
from pipeline.wan.parts import Parts
from pipeline.wan.passes import Passes
from pipeline.wan.plan import Plan
from pipeline.wan.sizes import PIXELS_PER_LATENT
from pipeline.wan.window import WindowCache, WindowShape


def window_shape(parts: Parts, plan: Plan) -> WindowShape:
    """Give the sizes of every stream's window."""
    patch = parts.transformer.config.patch
    grid = plan.height // PIXELS_PER_LATENT // patch[1], plan.width // PIXELS_PER_LATENT // patch[2]
    return WindowShape(plan.window, plan.sink, grid, plan.gap)


def new_window(parts: Parts, plan: Plan) -> WindowCache:
    """Make a window that holds nothing yet."""
    config, shape = parts.transformer.config, window_shape(parts, plan)
    return WindowCache(config, shape, parts.dtype, parts.device, keep_rotated=plan.keep_rotated)


def quick_passes(parts: Parts, plan: Plan) -> Passes | None:
    """Make the quick way, which takes a second window; None where that does not fit, or the GPU can't go it."""
    transformer, device = parts.transformer, parts.device
    is_stored = any(isinstance(layer, StoredLinear) for layer in transformer.modules())
    if not plan.keep_rotated or device.type != "cuda" or (is_stored and not can_multiply_fp8(device)):
        return None
    return Passes(transformer, window_shape(parts, plan), plan.latents_per_chunk)
