import functools
import json
import re
from pathlib import Path

import pytest
import torch

from pipeline.checkpoint_kinds import KINDS, Shape, explain, identify
from pipeline.networks.transformer import CausalTransformer
from pipeline.wan.key_maps import to_diffusers
from pipeline.wan.sizes import SIZES

MANIFESTS = Path(__file__).parents[2] / "shared/reference/manifests"
PATCHES = "patch_embedding.weight"

KNOWN = {
    "Wan2.1-T2V-1.3B.diffusion_pytorch_model": "a Wan2.1 T2V transformer of 1.3B",
    "Wan2.1-T2V-14B.diffusion_pytorch_model": "a Wan2.1 T2V transformer of 14B",
    "Wan2.1-I2V-14B-480P.diffusion_pytorch_model": "a Wan2.1 I2V transformer of 14B",
    "Wan2.1_VAE.pth": "the Wan2.1 VAE",
    "models_t5_umt5-xxl-enc-bf16.pth": "the UMT5 text encoder",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth": "the CLIP of ViT-H/14 and XLM-R, which Wan I2V uses",
    "clip_vit_h_14_visual_only": "the CLIP of ViT-H/14 and XLM-R, which Wan I2V uses",
    "clip_l14_336.pth": "CLIP ViT-L/14 at 336 px",
    "clip_l14_336.open_clip_full": "CLIP ViT-L/14 at 336 px",
    "taew2_1.safetensors": "TAEHV for latents of 16 channels, as taew2_1",
}


@functools.cache
def dit(name: str) -> dict[str, Shape]:
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in CausalTransformer(SIZES[name]).state_dict().items()}


@pytest.mark.parametrize("manifest", KNOWN)
def test_every_published_checkpoint_is_known(manifest: str) -> None:
    """Each is told by its own keys and shapes, and by no kind that stands before its own."""
    if not MANIFESTS.exists():
        pytest.skip("the reference manifests are not beside this checkout: kinds are not compared")
    tensors = json.loads((MANIFESTS / f"{manifest}.json").read_text())["tensors"]
    kind = identify({key: tuple(value["shape"]) for key, value in tensors.items()})
    assert kind is not None
    assert kind.name == KNOWN[manifest]


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({"blocks.0.self_attn.q.lora_A.weight": (16, 1536)}, r"a LoRA, .* merge it"),
        ({"lora_unet_blocks_0_self_attn_q.lora_down.weight": (16, 1536)}, "a LoRA"),
        ({PATCHES: (1536, 16, 1, 2, 2), "blocks.0.ffn.0.scale_weight": (1,)}, r"quantised .* F32, BF16 or F16"),
        ({PATCHES: (1536, 16, 1, 2, 2), "scaled_fp8": (0,)}, "quantised"),
        ({PATCHES: (5120, 16, 1, 2, 2), "vace_blocks.0.before_proj.bias": (5120,)}, "VACE"),
        ({PATCHES: (3072, 48, 1, 2, 2)}, r"Wan2\.2 TI2V transformer of 5B"),
        ({PATCHES: (5120, 36, 1, 2, 2), "img_emb.emb_pos": (1, 514, 1280)}, "first and last picture"),
        ({PATCHES: (5120, 36, 1, 2, 2)}, r"Wan2\.2 I2V"),
        ({"encoder.conv_in.weight": (96, 3, 3, 3, 3)}, "a VAE in the layout of diffusers"),
        ({"encoder.block.0.layer.0.layer_norm.weight": (4096,)}, "a text encoder in the layout of transformers"),
        ({"decoder.1.weight": (256, 48, 3, 3), "decoder.3.conv.0.weight": (256, 512, 3, 3)}, "TAEHV for another model"),
        ({"positional_embedding": (257, 1024), "class_embedding": (1024,)}, "a CLIP in the layout of open_clip"),
        ({"conv2.weight": (48, 48, 1, 1, 1), "decoder.upsamples.0.x": (1,)}, "a VAE of another model"),
    ],
)
def test_what_people_mistake_for_a_transformer_is_told(stored: dict[str, Shape], told: str) -> None:
    """The cause is named, and what is wanted in its place."""
    assert re.search(told, cause := explain(stored, dit("1.3b"))), cause
    assert "a Wan2.1 T2V transformer of 1.3B is wanted" in cause


@pytest.mark.parametrize(
    ("given", "asked", "told"),
    [
        (
            "14b",
            "1.3b",
            "it is a Wan2.1 T2V transformer of 14B, and a Wan2.1 T2V transformer of 1.3B is wanted; the conf",
        ),
        ("i2v-14b", "14b", "it is a Wan2.1 I2V transformer of 14B, and a Wan2.1 T2V transformer of 14B is wanted"),
        ("1.3b", "i2v-14b", "it is a Wan2.1 T2V transformer of 1.3B, and a Wan2.1 I2V transformer of 14B is wanted"),
    ],
)
def test_transformers_of_two_kinds_are_told_apart(given: str, asked: str, told: str) -> None:
    """The error says which the file is, and which the configuration asks for."""
    assert explain(dit(given), dit(asked)).startswith(told)


def test_a_transformer_of_diffusers_is_told_by_its_keys() -> None:
    """Users of the -Diffusers repositories are shown the original ones."""
    theirs = {to_diffusers(key): shape for key, shape in dit("1.3b").items()}
    assert "in the layout of diffusers" in explain(theirs, dit("1.3b"))
    assert "without -Diffusers" in explain(theirs, dit("1.3b"))


@pytest.mark.parametrize(("given", "asked"), [("h", "l"), ("l", "h")])
def test_the_misnamed_clip_is_explained(given: str, asked: str) -> None:
    """Whoever has a file called clip_l14_336.pth learns what it probably is."""
    towers: dict[str, dict[str, Shape]] = {
        "h": {"visual.pre_norm.weight": (1280,)},
        "l": {"class_embedding": (1024,), "positional_embedding": (577, 1024)},
    }
    assert "often calls that file clip_l14_336.pth" in explain(towers[given], towers[asked])


def test_a_damaged_checkpoint_of_the_right_kind_is_to_be_fetched_again() -> None:
    """Where the kind is right, the file is at fault."""
    whole = dit("1.3b")
    part = {key: shape for key, shape in whole.items() if "blocks.29." not in key}
    assert (
        explain(part, whole)
        == "it is a Wan2.1 T2V transformer of 1.3B, but not whole or not as published: download it again"
    )


def test_nothing_is_said_of_what_is_not_known() -> None:
    """A guess would mislead."""
    assert explain({"weight": (1,)}, dit("1.3b")) == ""


def test_every_kind_can_be_told_and_reads_well() -> None:
    """No kind is without marks, which would fit anything, and none ends its advice with a full stop."""
    for kind in KINDS:
        assert kind.marks
        assert not kind.advice.endswith(".")
        assert all(re.compile(pattern) for pattern in kind.marks)
