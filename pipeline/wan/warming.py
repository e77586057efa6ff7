"""A Wan pipeline's first chunks, which compile, record, and tell how long one takes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.interface import Pipeline, Progress
from pipeline.recorded import may_record
from pipeline.types import Conditioning, Policy
from pipeline.wan.plan import Plan
from pipeline.wan.state import WanState
from pipeline.wan.switch import kept_by_flush


@dataclass(frozen=True, slots=True)
class Round:
    """A chunk to be made: its quality, and how its prompt comes in where that is another one."""

    quality: int = 0
    policy: Policy | None = None


def rounds(plan: Plan, policies: Sequence[Policy], qualities: int, device: torch.device) -> list[Round]:
    """Say what to make: chunks until the window is full, then two of every quality.

    What a prompt lets of the past be seen has lengths of its own, and a graph is recorded for each length. A recache
    reads all of its at once; after a flush the window grows again from what is left.
    """
    chunk = plan.latents_per_chunk
    fills = [Round() for _ in range(plan.window // chunk)]
    switches: list[Round] = []
    if may_record(device):
        missing = plan.window - chunk - plan.sink - kept_by_flush(plan)
        again = [Round() for _ in range(0, missing, chunk)]
        switches += [Round(policy="recache")] if "recache" in policies else []
        switches += [Round(policy="flush"), *again] if "flush" in policies else []
    return [*fills, *switches, *(Round(quality) for quality in range(qualities) for _ in range(2))]


def warm_up(pipeline: Pipeline[WanState], plan: Plan, device: torch.device, progress: Progress) -> tuple[float, ...]:
    """Make the rounds' chunks; return the seconds of the better of the last two of every quality."""
    capabilities = pipeline.capabilities
    picture = np.random.default_rng(0).integers(0, 256, (plan.height, plan.width, 3), dtype=np.uint8)
    mode, qualities = capabilities.modes[-1], len(capabilities.quality)
    asked = Conditioning(mode, "warming up", picture if mode == "i2v" else None, 0)
    state = pipeline.open(asked)
    wanted = rounds(plan, capabilities.policies, qualities, device)
    seconds: list[float] = []
    for number, one in enumerate(wanted, 1):
        progress(f"warming up: chunk {number} of {len(wanted)}")
        if one.policy is not None:
            asked = replace(asked, prompt=f"warming up, {one.policy}", policy=one.policy)
        start = time.perf_counter()
        pipeline.generate_chunk(state, replace(asked, quality=one.quality))
        pipeline.commit(state)
        seconds.append(time.perf_counter() - start)
    if plan.latents_per_chunk > 1:
        # The first cut of a stream would wait for the decoder's graph of one latent.
        pipeline.truncate(state, state.now.made - 1)
    pipeline.close(state)
    timed = seconds[-2 * qualities :]
    return tuple(map(min, timed[::2], timed[1::2]))
