"""CLIP's image towers: the published keys in every layout, and what a picture's features are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.image_clip import (
    VIT_H_14,
    VIT_L_14_336,
    ImageTower,
    TowerConfig,
    fit,
    key_map,
    normalise,
    other_half,
    prefix_of,
    resample_positions,
)

MANIFESTS = Path(__file__).parents[2] / "shared/reference/manifests"
PUBLISHED = {
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth": VIT_H_14,
    "clip_vit_h_14_visual_only": VIT_H_14,
    "clip_l14_336.pth": VIT_L_14_336,
    "clip_l14_336.open_clip_full": VIT_L_14_336,
}
WAN = TowerConfig(28, 14, width=32, num_layers=3, num_heads=4, embed_dim=12, names="wan")
OPEN_CLIP = replace(WAN, names="open_clip", quick_gelu=True)


def network(config: TowerConfig, seed: int = 0) -> ImageTower:
    torch.manual_seed(seed)
    tower = ImageTower(config)
    # Biases begin at zero and norms at one, where a swapped key would not show.
    for weight in tower.parameters():
        weight += torch.randn_like(weight) * 0.1
    return tower


def stored(tower: ImageTower) -> dict[str, Tensor]:
    """The tower's weights as a checkpoint has them."""
    state = tower.state_dict()
    weights = {key: state[ours] for key, ours in key_map(tower.config).items()}
    if tower.config.names == "wan":
        weights["cls_embedding"] = weights["cls_embedding"][None, None]
        weights["pos_embedding"] = weights["pos_embedding"][None]
    return weights


def by_hand(weights: dict[str, Tensor], config: TowerConfig, pixels: Tensor) -> Tensor:
    """All layers but the last, written out with Wan2.1's names."""

    def norm(x: Tensor, key: str) -> Tensor:
        return F.layer_norm(x, (config.width,), weights[f"{key}.weight"], weights[f"{key}.bias"], 1e-5)

    def linear(x: Tensor, key: str) -> Tensor:
        return x @ weights[f"{key}.weight"].T + weights[f"{key}.bias"]

    patches = F.conv2d(pixels, weights["patch_embedding.weight"], stride=config.patch_size).flatten(2).mT
    x = torch.cat([weights["cls_embedding"].expand(len(pixels), 1, -1), patches], 1) + weights["pos_embedding"]
    x = norm(x, "pre_norm")
    for index in range(config.num_layers - 1):
        at = f"transformer.{index}"
        qkv = linear(norm(x, f"{at}.norm1"), f"{at}.attn.to_qkv").unflatten(-1, (3, config.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        x = x + linear(seen.transpose(1, 2).flatten(2), f"{at}.attn.proj")
        h = linear(norm(x, f"{at}.norm2"), f"{at}.mlp.0")
        h = h * torch.sigmoid(1.702 * h) if config.quick_gelu else h * (1 + torch.erf(h / 2**0.5)) / 2
        x = x + linear(h, f"{at}.mlp.2")
    return x


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_key_of_a_published_file_has_its_place_and_every_place_its_key(name: str) -> None:
    """Tower and text half make up each file; the tower's tensors fit in shape; none is left to be computed."""
    path = MANIFESTS / f"{name}.json"
    if not path.exists():
        pytest.skip("the reference manifests are not beside this checkout: names are not compared")
    manifest = {key: value["shape"] for key, value in json.loads(path.read_text())["tensors"].items()}
    with torch.device("meta"):
        tower = ImageTower(PUBLISHED[name])
        tensors = {key: torch.empty(shape) for key, shape in manifest.items()}
    names = key_map(tower.config, prefix_of(manifest))
    text = other_half(manifest)
    assert names.keys() | text == manifest.keys()
    assert not names.keys() & text
    fitted = {ours: fit(tower.config, ours, tensors[key]).shape for key, ours in names.items()}
    assert fitted == {key: value.shape for key, value in tower.state_dict().items()}
    assert not list(tower.buffers())


@pytest.mark.parametrize("prefix", ["", "visual."])
@pytest.mark.parametrize("config", [WAN, OPEN_CLIP])
def test_a_tower_is_the_same_under_every_layout(config: TowerConfig, prefix: str) -> None:
    """Built without memory and filled from either layout, with a text half beside it, it gives the same features."""
    tower, picture = network(config), torch.rand(2, 3, 20, 40) * 2 - 1
    file = {f"{prefix}{key}": value for key, value in stored(tower).items()}
    file |= {"textual.x": torch.zeros(1), "log_scale": torch.zeros(())} if prefix else {}
    with torch.device("meta"):
        loaded = ImageTower(config)
    names = key_map(config, prefix_of(file))
    assert file.keys() - names.keys() == other_half(file)
    loaded.load_state_dict({ours: fit(config, ours, file[key]) for key, ours in names.items()}, assign=True)
    assert torch.equal(loaded.features(picture), tower.features(picture))


def test_a_key_of_neither_half_is_not_passed_over() -> None:
    """What is unknown stays unknown, and in a file of the tower alone nothing counts as a text half."""
    assert other_half(["visual.proj", "strange.weight", "textual.head"]) == {"textual.head"}
    assert other_half(["proj", "transformer.resblocks.0.ln_1.bias", "positional_embedding"]) == set()


@pytest.mark.parametrize("config", [WAN, replace(WAN, quick_gelu=True), replace(WAN, mlp_ratio=3.0, num_heads=2)])
def test_features_are_the_layers_but_the_last_written_out(config: TowerConfig) -> None:
    """Under Wan2.1's names, with either GELU, it equals the tower written out by hand."""
    tower, picture = network(config), torch.rand(2, 3, 28, 28) * 2 - 1
    expected = by_hand(stored(tower), config, normalise(picture, config.image_size))
    assert expected.shape == (2, config.num_tokens, config.width)
    assert len(stored(tower)["transformer.0.mlp.0.bias"]) == config.width * config.mlp_ratio
    torch.testing.assert_close(tower.features(picture), expected, atol=2e-5, rtol=2e-5)


def test_the_last_layer_has_no_say() -> None:
    """Features change with the last layer but one, and not with the last, the last norm or the projection."""
    picture = torch.rand(1, 3, 28, 28) * 2 - 1
    before = network(OPEN_CLIP).features(picture)
    for parts, changes in (((".resblocks.1.",), True), ((".resblocks.2.", "ln_post.", "visual.proj"), False)):
        tower = network(OPEN_CLIP)
        touched = [weight for name, weight in tower.named_parameters() if any(part in name for part in parts)]
        assert len(touched) >= 12
        for weight in touched:
            weight += torch.randn_like(weight)
        assert torch.equal(tower.features(picture), before) is not changes


def test_features_come_in_the_dtype_of_the_weights() -> None:
    """In bfloat16 a float32 picture gives bfloat16 features near the float32 ones."""
    tower, picture = network(WAN), torch.rand(1, 3, 30, 50) * 2 - 1
    wide = tower.features(picture)
    narrow = tower.to(torch.bfloat16).features(picture)
    assert narrow.dtype == torch.bfloat16
    assert (narrow.float() - wide).abs().max() < 0.08 * wide.square().mean().sqrt()


def test_a_picture_of_the_right_size_is_only_scaled() -> None:
    """Grey, black and white become CLIP's units; nothing is resampled."""
    picture = torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None].expand(3, 3, 28, 28)
    pixels = normalise(picture, 28)
    for value, shade in zip(pixels[:, 0, 5, 5].tolist(), (0.0, 0.5, 1.0), strict=True):
        assert value == pytest.approx((shade - 0.48145466) / 0.26862954, rel=1e-5)
    assert pixels[1, 2].unique().tolist() == pytest.approx([(0.5 - 0.40821073) / 0.27577711])


def test_pixels_are_sampled_at_their_centres_and_not_averaged() -> None:
    """Two steps of a picture made twice as big are one of its own; stripes made three times smaller stay stripes."""
    ramp = torch.arange(14.0).expand(1, 3, 14, 14)
    row = normalise(ramp, 28)[0, 0, 14, 6:22] * 0.26862954 * 2
    torch.testing.assert_close(row[2:] - row[:-2], torch.ones(14), atol=1e-4, rtol=0)
    stripes = (torch.arange(84) % 2 * 2.0 - 1).expand(1, 3, 84, 84)
    shade = normalise(stripes, 28)[0, 0] * 0.26862954 + 0.48145466
    torch.testing.assert_close(shade, (stripes[0, 0, 1::3, 1::3] + 1) / 2, atol=1e-5, rtol=0)


def test_overshoot_is_kept() -> None:
    """Beside a sharp edge bicubic goes beyond white, and stays there."""
    edge = torch.cat([-torch.ones(1, 3, 10, 5), torch.ones(1, 3, 10, 5)], dim=3)
    white = normalise(torch.ones(1, 3, 28, 28), 28)[0, 0, 0, 0]
    assert normalise(edge, 28)[0, 0].max() > white + 0.1


def test_positions_are_resampled_over_the_grid_behind_the_class_token() -> None:
    """A table that rises along the columns still does, rows alike, and the class token's row is kept."""
    ramp = torch.arange(4.0).expand(4, 4).reshape(1, 16, 1)
    table = torch.cat([torch.full((1, 1, 1), 100.0), ramp], 1)
    bigger = resample_positions(table, 1 + 8 * 8)
    assert bigger[0, 0, 0] == 100.0
    grid = bigger[0, 1:, 0].view(8, 8)
    assert torch.equal(grid, grid[:1].expand(8, 8))
    assert (grid[0].diff() > 0).all()
    # Half a step of the finer grid lies a quarter of the coarse one to each side of its points.
    assert grid[0, 2:6].tolist() == pytest.approx([0.75, 1.25, 1.75, 2.25], abs=0.1)
    assert resample_positions(table, 17) is table


def test_a_tower_takes_positions_of_another_image_size_and_no_other_misfit() -> None:
    """A checkpoint made for a bigger picture is resampled; what cannot fit is left to be refused."""
    big, small = network(replace(WAN, image_size=56)), replace(WAN, image_size=28)
    key = "visual.positional_embedding"
    table = stored(big)["pos_embedding"]
    assert torch.equal(fit(small, key, table), resample_positions(table, small.num_tokens)[0])
    for wrong in (torch.zeros(1, 17, 31), torch.zeros(1, 16, 32), torch.zeros(0, 32)):
        assert fit(small, key, wrong).shape == wrong.shape
    assert fit(small, "visual.class_embedding", torch.zeros(1, 1, 31)).shape == (1, 1, 31)
    assert fit(small, "visual.proj", torch.zeros(1, 32, 12)).shape == (1, 32, 12)
