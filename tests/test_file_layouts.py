import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline import wan_files, weights
from pipeline.checkpoint import Checkpoint, Entry
from pipeline.networks import image_clip, text_umt5
from pipeline.networks.image_clip import VIT_H_14, VIT_L_14_336, ImageTower, TowerConfig
from pipeline.networks.text_umt5 import UMT5, UMT5Config
from pipeline.networks.transformer import CausalTransformer
from pipeline.networks.vae_tiny import TinyVAE, TinyVAEConfig, fit_state_dict
from pipeline.networks.vae_wan import WanVAE
from pipeline.standin_files import header, hollow_archive
from pipeline.wan.file_layouts import Layout, Spec, descriptions, dit, layouts, others, sizes
from pipeline.wan.sizes import SIZES

MANIFESTS = Path(__file__).parents[2] / "shared/reference/manifests"
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
META = torch.device("meta")
CLIP = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"

TRANSFORMERS = {
    "Wan2.1-T2V-1.3B.diffusion_pytorch_model": "1.3b",
    "Wan2.1-T2V-14B.diffusion_pytorch_model": "14b",
    "Wan2.1-I2V-14B-480P.diffusion_pytorch_model": "i2v-14b",
    "self_forcing_dmd.pt": "1.3b",
}


def manifest(name: str) -> dict[str, Spec]:
    if not MANIFESTS.exists():
        pytest.skip("the reference manifests are not beside this checkout: nothing was compared with them")
    tensors = json.loads((MANIFESTS / f"{name}.json").read_text())["tensors"]
    return {key: Spec(tuple(value["shape"]), DTYPES[value["dtype"]]) for key, value in tensors.items()}


def checkpoint(specs: Mapping[str, Spec], old: str = "", new: str = "") -> Checkpoint:
    """Give a checkpoint of tensors without data; ``old`` at the beginning of a name becomes ``new``."""
    entries: dict[str, Entry] = {}
    for name, spec in specs.items():
        empty = torch.empty(spec.shape, dtype=spec.dtype, device=META)
        entries[new + name.removeprefix(old)] = Entry(spec.shape, spec.dtype, empty.detach)
    return Checkpoint(Path("published"), entries).without([])


def unfilled(network: nn.Module) -> dict[str, nn.Parameter]:
    """Give the parameters; those that are still there after loading were not filled."""
    return dict(network.named_parameters())


def assert_filled(network: nn.Module, before: Mapping[str, nn.Parameter]) -> None:
    after = dict(network.named_parameters())
    assert after.keys() == before.keys()
    assert not [name for name in after if after[name] is before[name]]
    assert {parameter.dtype for parameter in after.values()} == {torch.bfloat16}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_every_key_of_a_transformer_fills_one_of_ours_and_none_is_left(name: str) -> None:
    """As published; with ``model.`` before each key where a training run stored it."""
    with META:
        network = CausalTransformer(SIZES[TRANSFORMERS[name]])
    before = unfilled(network)
    weights.load(network, checkpoint(manifest(name)), torch.bfloat16, META)
    assert_filled(network, before)


@pytest.mark.parametrize("model", ["wan_1_3b", "wan_1_3b_chunkwise", "wan_1_3b_framewise"])
def test_trained_checkpoints_hold_the_base_models_transformer(model: str) -> None:
    """Self-Forcing's and both of Causal-Forcing's, under their prefixes, are T2V-1.3B's keys and shapes."""
    layout = next(layout for layout in layouts(model) if layout.under)
    base = manifest("Wan2.1-T2V-1.3B.diffusion_pytorch_model")
    assert {name: entry.shape for name, entry in checkpoint(layout.tensors).entries.items()} == {
        name: spec.shape for name, spec in base.items()
    }
    if model == "wan_1_3b":
        assert layout.tensors == manifest("self_forcing_dmd.pt")


def test_the_vaes_keys_fill_both_halves_or_one() -> None:
    """A half that is left out leaves its keys in the file."""
    for encoder, decoder in ((True, True), (True, False), (False, True)):
        with META:
            network = WanVAE(encoder=encoder, decoder=decoder)
        before = unfilled(network)
        ignored = () if encoder and decoder else ("decoder.", "conv2.") if encoder else ("encoder.", "conv1.")
        weights.load(network, checkpoint(manifest("Wan2.1_VAE.pth")), torch.bfloat16, META, ignore=ignored)
        assert_filled(network, before)


@pytest.mark.parametrize("rows", [1, 2])
def test_the_tiny_vaes_keys_fill_ours(rows: int) -> None:
    """Kernels with the rows of more frames fit, too."""
    stored = manifest("taew2_1.safetensors")
    key = "decoder.7.conv.weight"
    stored[key] = Spec((rows * stored[key].shape[0], *stored[key].shape[1:]), stored[key].dtype)
    with META:
        network = TinyVAE(TinyVAEConfig())
    before = unfilled(network)
    fitted = checkpoint(stored).fitted(lambda name, value: fit_state_dict({name: value})[name])
    weights.load(network, fitted, torch.bfloat16, META)
    assert_filled(network, before)


def test_the_text_encoders_keys_fill_ours() -> None:
    """Through the map, one to one."""
    with META:
        network = UMT5(UMT5Config())
    before = unfilled(network)
    stored = checkpoint(manifest("models_t5_umt5-xxl-enc-bf16.pth"))
    weights.load(network, stored, torch.bfloat16, META, text_umt5.key_map(UMT5Config()))
    assert_filled(network, before)


@pytest.mark.parametrize(
    ("name", "config", "old", "new"),
    [
        pytest.param(CLIP, VIT_H_14, "", "", id="H/14 whole"),
        pytest.param("clip_vit_h_14_visual_only", VIT_H_14, "", "", id="H/14 tower with its prefix"),
        pytest.param("clip_vit_h_14_visual_only", VIT_H_14, "visual.", "", id="H/14 tower"),
        pytest.param("clip_l14_336.open_clip_full", VIT_L_14_336, "", "", id="L/14 whole"),
        pytest.param("clip_l14_336.pth", VIT_L_14_336, "", "visual.", id="L/14 tower with its prefix"),
        pytest.param("clip_l14_336.pth", VIT_L_14_336, "", "", id="L/14 tower"),
    ],
)
def test_a_clips_keys_fill_the_tower(name: str, config: TowerConfig, old: str, new: str) -> None:
    """In every layout that goes round; the text half alone is left out."""
    with META:
        network = ImageTower(config)
    before = unfilled(network)
    whole = checkpoint(manifest(name), old, new)
    tower = whole.without(sorted(image_clip.other_half(whole.entries)))
    names = image_clip.key_map(config, image_clip.prefix_of(tower.entries))
    fitted = tower.fitted(lambda key, value: image_clip.fit(config, names.get(key, key), value))
    weights.load(network, fitted, torch.bfloat16, META, names)
    assert_filled(network, before)


@pytest.mark.parametrize(
    ("model", "file", "name"),
    [
        ("wan_1_3b", "models_t5_umt5-xxl-enc-bf16.pth", "models_t5_umt5-xxl-enc-bf16.pth"),
        ("wan_1_3b", "Wan2.1_VAE.pth", "Wan2.1_VAE.pth"),
        ("wan_1_3b", "taew2_1.safetensors", "taew2_1.safetensors"),
        ("wan_1_3b", "self_forcing_dmd.pt", "self_forcing_dmd.pt"),
        ("wan_i2v_14b", CLIP, CLIP),
        ("wan_t2v_14b", "diffusion_pytorch_model-", "Wan2.1-T2V-14B.diffusion_pytorch_model"),
        ("wan_i2v_14b", "diffusion_pytorch_model-", "Wan2.1-I2V-14B-480P.diffusion_pytorch_model"),
    ],
)
def test_the_layouts_are_the_published_ones(model: str, file: str, name: str) -> None:
    """Every file, key, shape and dtype, and no other; shards together hold the whole."""
    found = [layout for layout in layouts(model) if layout.path.name.startswith(file)]
    held = {key: spec for layout in found for key, spec in layout.tensors.items()}
    assert held == manifest(name)
    assert sum(len(layout.tensors) for layout in found) == len(held)


def test_what_else_is_published_is_as_published() -> None:
    """The base transformer, and the tiny VAE in torch's format."""
    base, tiny = others()
    assert base.tensors == manifest("Wan2.1-T2V-1.3B.diffusion_pytorch_model")
    assert tiny.tensors == manifest("taew2_1.safetensors")


@pytest.mark.parametrize("model", wan_files.MODELS)
def test_layouts_are_the_files_that_a_model_is_made_of(model: str) -> None:
    """Nothing that is downloaded is left out, and nothing is added, in the published sizes."""
    wanted = {file.path: file.size_bytes for file in wan_files.files(model) if file.part != "tokenizer"}
    assert {layout.path: layout.size_bytes for layout in layouts(model)} == wanted


def published_size(layout: Layout, folder: Path) -> int:
    if layout.path.suffix == ".safetensors":
        return len(header(layout)) + sum(spec.size_bytes for spec in layout.tensors.values())
    return hollow_archive(folder, layout).stat().st_size


@pytest.mark.parametrize("model", wan_files.MODELS)
def test_files_made_after_the_layouts_have_the_published_size(model: str, tmp_path: Path) -> None:
    """To the byte, header and shards and all: what is known of the published files agrees with what is not."""
    for layout in layouts(model):
        if not layout.legacy:
            assert published_size(layout, tmp_path) == layout.size_bytes, layout.path


def test_the_description_of_a_model_is_the_published_one() -> None:
    """``config.json`` to the character; the index of shards to the published length."""
    told = {(path.parent.name, path.name): text for model in wan_files.MODELS for path, text in descriptions(model)}
    assert len(told["Wan2.1-T2V-14B", "diffusion_pytorch_model.safetensors.index.json"]) == 96_805
    manifest("Wan2.1_VAE.pth")
    for repo in ("Wan2.1-T2V-1.3B", "Wan2.1-T2V-14B", "Wan2.1-I2V-14B-480P"):
        assert told[repo, "config.json"] == (MANIFESTS / f"{repo}.config.json").read_text()


def test_the_index_says_where_every_tensor_is() -> None:
    """Shards and index agree, at either size."""
    for tiny in (True, False):
        (_, _), (path, text) = descriptions("wan_i2v_14b", tiny)
        index = json.loads(text)
        shards = [layout for layout in layouts("wan_i2v_14b", tiny) if layout.path.parent == path.parent]
        where = {key: shard.path.name for shard in shards if shard.metadata for key in shard.tensors}
        assert index["weight_map"] == where
        whole = dit(sizes("wan_i2v_14b", tiny).transformer)
        assert index["metadata"]["total_size"] == sum(spec.size_bytes for spec in whole.values())
