"""What a checkpoint is, told by its keys and shapes: for an error that names the likely cause."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of checkpoint.

    ``marks`` are patterns of whole keys, plain ones (:func:`pipeline.checkpoint.plain_names`); each must be there,
    of the shape beside it, in which None is any size, or of any shape where there is none. ``advice`` is what to do
    when another kind is wanted.
    """

    name: str
    marks: Mapping[str, Shape | None]
    advice: str = ""


_ORIGINAL = "use a repository in the original format, as Wan-AI/Wan2.1-T2V-1.3B, without -Diffusers at its end"
_PLAIN = "use the file in F32, BF16 or F16"
_ONE_KIND = "the configuration's model and the file must be of one kind"
_PICTURE = (
    "the I2V network takes models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth; public code often calls that "
    "file clip_l14_336.pth, though it is not ViT-L/14"
)
_PATCHES = r"patch_embedding\.weight"
_CLASS_TOKEN = r"(visual\.)?class_embedding"
_PLACES = r"(visual\.)?positional_embedding"

KINDS = (
    Kind(
        "a LoRA, not a full checkpoint",
        {r".*[._]lora(_[AB]|_up|_down|)\..*": None},
        "merge it into the checkpoint that it was made for, or give that checkpoint",
    ),
    Kind("a quantised checkpoint", {r".*\.(scale_(weight|input)|weight_scale(_2)?|input_scale)": None}, _PLAIN),
    Kind("a quantised checkpoint", {r"scaled_fp8": None}, _PLAIN),
    Kind("a quantised checkpoint", {r".*\.(qweight|qzeros|absmax|quant_map|weight\.absmax)": None}, _PLAIN),
    Kind("a transformer in the layout of diffusers", {r"condition_embedder\..*": None}, _ORIGINAL),
    Kind("a VAE in the layout of diffusers", {r"(encoder|decoder)\.conv_in\.weight": None}, _ORIGINAL),
    Kind("a text encoder in the layout of transformers", {r"encoder\.block\.0\.layer\.0\..*": None}, _ORIGINAL),
    Kind("a Wan2.1 VACE transformer", {r"vace_blocks\..*": None}, _ONE_KIND),
    Kind("a Wan2.1 transformer for first and last picture", {r"img_emb\.emb_pos": None}, _ONE_KIND),
    Kind("a Wan2.1 I2V transformer of 14B", {_PATCHES: (5120, 36, 1, 2, 2), r"img_emb\..*": None}, _ONE_KIND),
    Kind("a Wan2.2 I2V transformer of 14B", {_PATCHES: (5120, 36, 1, 2, 2)}, _ONE_KIND),
    Kind("a Wan2.2 TI2V transformer of 5B", {_PATCHES: (3072, 48, 1, 2, 2)}, _ONE_KIND),
    Kind("a Wan2.1 T2V transformer of 14B", {_PATCHES: (5120, 16, 1, 2, 2)}, _ONE_KIND),
    Kind("a Wan2.1 T2V transformer of 1.3B", {_PATCHES: (1536, 16, 1, 2, 2)}, _ONE_KIND),
    Kind("a transformer that sees a picture", {_PATCHES: (None,) * 5, r"img_emb\..*": None}, _ONE_KIND),
    Kind("a transformer of video", {_PATCHES: (None,) * 5, r"blocks\.0\.self_attn\..*": None}, _ONE_KIND),
    Kind("the UMT5 text encoder", {r"token_embedding\.weight": (256_384, None), r"blocks\.0\.ffn\.gate\..*": None}),
    Kind("a text encoder", {r"token_embedding\.weight": None, r"blocks\.0\.ffn\.gate\..*": None}),
    Kind("the Wan2.1 VAE", {r"conv2\.weight": (16, 16, 1, 1, 1), r"decoder\.upsamples\..*": None}),
    Kind("a VAE of another model", {r"conv2\.weight": (None,) * 5, r"decoder\.upsamples\..*": None}),
    Kind(
        "TAEHV for latents of 16 channels, as taew2_1",
        {
            r"decoder\.1\.weight": (256, 16, 3, 3),
            r"decoder\.3\.conv\.0\.weight": None,
            r"encoder\.0\.weight": (64, 3, 3, 3),
        },
    ),
    Kind(
        "TAEHV for another model",
        {r"decoder\.1\.weight": (None,) * 4, r"decoder\.3\.conv\.0\.weight": None},
        "Wan2.1 takes taew2_1",
    ),
    Kind("the CLIP of ViT-H/14 and XLM-R, which Wan I2V uses", {r"(visual\.)?pre_norm\.weight": (1280,)}, _PICTURE),
    Kind("CLIP ViT-L/14 at 336 px", {_PLACES: (577, 1024), _CLASS_TOKEN: (1024,)}, _PICTURE),
    Kind("a CLIP in the layout of open_clip", {_PLACES: (None, None), _CLASS_TOKEN: None}, _PICTURE),
)
"""The first that fits holds."""


def explain(stored: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> str:
    """Say what a checkpoint seems to be and what was wanted, in a sentence; nothing where its kind is not known.

    >>> explain({"patch_embedding.weight": (5120, 16, 1, 2, 2)}, {"conv1.weight": (2, 2)})
    "it is a Wan2.1 T2V transformer of 14B; the configuration's model and the file must be of one kind"
    """
    given = identify(stored)
    if given is None:
        return ""
    asked = identify(wanted)
    if given is asked:
        return f"it is {given.name}, but not whole or not as published: download it again"
    told = [f"it is {given.name}, and {asked.name} is wanted" if asked else f"it is {given.name}", given.advice]
    return "; ".join(part for part in told if part)


def identify(shapes: Mapping[str, Shape]) -> Kind | None:
    """Give the first kind whose every mark is there."""
    return next((kind for kind in KINDS if _has(kind, shapes)), None)


def _has(kind: Kind, shapes: Mapping[str, Shape]) -> bool:
    return all(_fits(shape, _matching(pattern, shapes)) for pattern, shape in kind.marks.items())


def _matching(pattern: str, shapes: Mapping[str, Shape]) -> Iterable[Shape]:
    return (shape for name, shape in shapes.items() if re.fullmatch(pattern, name))


def _fits(wanted: Shape | None, found: Iterable[Shape]) -> bool:
    if wanted is None:
        return any(True for _ in found)
    return any(
        len(shape) == len(wanted) and all(want in (None, size) for want, size in zip(wanted, shape, strict=True))
        for shape in found
    )
