"""What a causal Wan model can do, by its plan, and which wishes it refuses."""

from pipeline.errors import ConditioningError
from pipeline.types import Capabilities, Conditioning, QualityLevel
from pipeline.wan.examples import EXAMPLES
from pipeline.wan.plan import Plan
from pipeline.wan.switch import policies


def capabilities_of(plan: Plan) -> Capabilities:
    """Tell what a model does that is run by this plan."""
    return Capabilities(
        model=plan.name,
        modes=plan.modes,
        image_entry=plan.image_entry,
        policies=policies(plan),
        sizes=((plan.width, plan.height),),
        quality=tuple(QualityLevel(f"{len(steps)} steps", plan.fps) for steps in plan.steps),
        max_streams=plan.max_streams,
        # A chunk on its way and the one before it.
        truncatable_latents=2 * plan.latents_per_chunk,
        examples=EXAMPLES[plan.image_entry],
        needs=plan.needs,
        picture_policies=("cut", "flush", "blend") if "i2v" in plan.modes else ("cut",),
    )


def admit(capabilities: Capabilities, asked: Conditioning) -> None:
    """Raise ConditioningError for a mode that the model lacks, or a missing picture."""
    if asked.mode not in capabilities.modes:
        raise ConditioningError(f"this model does {' and '.join(capabilities.modes)}, not {asked.mode}")
    if asked.mode == "i2v" and asked.image is None:
        raise ConditioningError("a picture is needed to begin: upload one first")
