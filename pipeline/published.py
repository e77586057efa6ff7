"""Reads the configurations that Self-Forcing (arXiv 2506.08009) and Causal-Forcing (arXiv 2602.02214) publish.

They are for the training and the sampling of one model in one file. What the sampling follows is told in our
keys, what only the training follows is left out, and a key that would change the video and has no counterpart
here is an error.
"""

import re
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pipeline.errors import ConfigError

LATENT_FRAMES = 4
WHOLE_WINDOW = 21
"""Latents of the window that ``local_attn_size: -1`` stands for."""

# Absent keys mean this there: the defaults of the files and of the classes that read them.
_DEFAULTS: dict[str, Any] = {
    "warp_denoising_step": False,
    "num_frame_per_block": 1,
    "independent_first_frame": False,
    "context_noise": 0,
    "num_train_timestep": 1000,
    "causal": True,
    "model_name": "Wan2.1-T2V-1.3B",
}
_MODEL_DEFAULTS: dict[str, Any] = {"timestep_shift": 8.0, "local_attn_size": -1, "sink_size": 0}
_FIXED = ("num_train_timestep", "causal", "model_name")
"""Keys that have one value which Vivant can do."""
_TRAINING = re.compile(
    r"""(wandb|generator|real|fake|text_encoder|lr|beta\d|ema|discriminator|eval|ckpt|resume|max|num_training|log|gc
        |prompt|same_step|last_step|load_raw|num_rollout|slice|vis|save|gan|teacher|ode)(_.*)?
        |ts_schedule|guidance_scale|denoising_loss_type|mixed_precision|seed|sharding_strategy|data_path|batch_size
        |total_batch_size|negative_prompt|dfake_gen_update_ratio|image_or_video_shape|distribution_loss|trainer
        |gradient_checkpointing|gradient_accumulation_steps|weight_decay|i2v|num_samples|height|width|num_frames
        |timestep_shift|.*_iters|.*_interval|output_folder|num_output_frames|inference_iter|use_ema""",
    re.VERBOSE,
)


def frames_of_latents(latents: int) -> int:
    """Give the pixel frames of so many latents: the first is one frame, every other four.

    >>> frames_of_latents(21)
    81
    """
    return 1 + LATENT_FRAMES * (latents - 1)


def is_published(path: Path) -> bool:
    """Tell a published configuration from one of ours, by what it begins from."""
    try:
        return {"denoising_step_list", "num_frame_per_block", "model_kwargs"} & _read(path).keys() != set()
    except ConfigError:
        # Whoever reads it as one of ours says what is wrong with it.
        return False


def published_config(path: Path) -> list[str]:
    """Tell a published configuration as ``section.key=value``, every key that the sampling follows.

    Raises ConfigError for a file that can't be read, and for keys that would change the video but have no
    counterpart here, which it names.
    """
    tree = _read(path)
    inner = tree.get("model_kwargs") or {}
    if not isinstance(inner, dict):
        raise ConfigError(f"{path}: model_kwargs must hold keys")
    if "denoising_step_list" not in tree:
        raise ConfigError(f"{path} has no denoising_step_list: it is for many steps, and Vivant samples in few")
    named = {"denoising_step_list", *_DEFAULTS, "model_kwargs"}
    foreign = [key for key in tree if key not in named and not _TRAINING.fullmatch(key)]
    foreign += [f"model_kwargs.{key}" for key in inner if key not in _MODEL_DEFAULTS and key != "model_name"]
    if foreign:
        raise ConfigError(
            f"{path} has keys that Vivant can't honour: {', '.join(foreign)}; "
            "take them out if they are for training alone"
        )
    values = _DEFAULTS | tree | {"model_name": inner.get("model_name", tree.get("model_name", _DEFAULTS["model_name"]))}
    # The one at the top is the training's; it is right for the sampling where that has none of its own.
    shift = {"timestep_shift": tree["timestep_shift"]} if "timestep_shift" in tree else {}
    for key in _FIXED:
        if values[key] != _DEFAULTS[key]:
            raise ConfigError(f"{path}: {key} is {values[key]}, and Vivant can do {_DEFAULTS[key]} alone")
    return _told(values, _MODEL_DEFAULTS | shift | inner)


def _told(values: dict[str, Any], inner: dict[str, Any]) -> list[str]:
    window = WHOLE_WINDOW if inner["local_attn_size"] == -1 else inner["local_attn_size"]
    ours = {
        "model.kind": "wan",
        "model.latents_per_chunk": values["num_frame_per_block"],
        "wan.denoising_steps": values["denoising_step_list"],
        "wan.warp_steps": values["warp_denoising_step"],
        "wan.timestep_shift": inner["timestep_shift"],
        "wan.first_latent_alone": values["independent_first_frame"],
        "wan.context_noise": values["context_noise"],
        "wan.window": window,
        "wan.sink": inner["sink_size"],
        "wan.vae": "wan",
    }
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in ours.items()]


def _read(path: Path) -> dict[str, Any]:
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold keys")
    return {str(key): value for key, value in tree.items()}
