"""What a pipeline raises, as one small tree.

PipelineError
    ConditioningError   a prompt, picture or mode that this model cannot be made under
    CapacityError       no free slot for another stream
    TruncationError     a boundary that lies too far back, or ahead
    AbandonedError      a chunk or context that was given up before it was made
    WeightsError        a checkpoint that does not fit the network, or can't be had
    ConfigError         a setting that has no meaning
"""


class PipelineError(Exception):
    """Any failure that a pipeline knows how to name."""


class ConditioningError(PipelineError):
    """The conditioning asks for what this model cannot do; the stream's state is unchanged."""


class CapacityError(PipelineError):
    """Every slot for a stream's state is taken."""


class TruncationError(PipelineError):
    """The latent boundary is not one that the state can go back to."""


class AbandonedError(PipelineError):
    """What was being made is not wanted any more; the stream's state is unchanged."""


class WeightsError(PipelineError):
    """Keys or shapes of a checkpoint do not fit the network."""


class ConfigError(PipelineError):
    """A configuration value has no meaning for this pipeline."""
