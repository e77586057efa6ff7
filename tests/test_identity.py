"""Weights and settings that differ hash apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import identity
from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.identity import as_overrides, fingerprints, settings_of, settings_sha256, weight_files
from pipeline.settings import load
from stream.config import Config

WAN = ModelConfig(kind="wan")


def test_small_files_are_hashed_whole(tmp_path: Path) -> None:
    """One bit anywhere tells."""
    path = tmp_path / "a.safetensors"
    model = replace(ModelConfig(), weights=str(path))
    seen = set()
    for content in (b"x" * 9999, b"x" * 9998 + b"y", b"x" * 9998):
        path.write_bytes(content)
        seen.add(fingerprints(model, WanConfig())["pocket"])
    assert len(seen) == 3


def test_of_large_files_size_and_pieces_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another size, or other numbers all over, tell; both ends are among the pieces."""
    monkeypatch.setattr(identity, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(identity, "SAMPLE_BYTES", 10)
    path = tmp_path / "a.pt"
    model = replace(WAN, weights=str(path))
    seen = set()
    for content in (b"x" * 9999, b"x" * 9998, b"y" + b"x" * 9998, b"x" * 9998 + b"y", b"y" * 9999):
        path.write_bytes(content)
        seen.add(fingerprints(model, WanConfig(folder=str(tmp_path / "none")))["transformer"])
    assert len(seen) == 5


def test_the_own_weights_are_found() -> None:
    """Pocket's come with it; Wan's are named though they are not there, random ones have no files."""
    assert list(fingerprints(ModelConfig(), WanConfig())) == ["pocket"]
    parts = weight_files(WAN, WanConfig(model="wan_i2v_14b", folder="/weights"))
    assert set(parts) == {"transformer", "text_encoder", "tokenizer", "vae", "taehv", "image_encoder"}
    assert len(parts["transformer"]) == 7
    assert fingerprints(replace(WAN, weights="random"), WanConfig()) == {}
    with pytest.raises(ConfigError, match="no model"):
        weight_files(WAN, WanConfig(model="other"))


def test_settings_can_be_given_back() -> None:
    """As overrides they make the same configuration, whatever characters and numbers they hold."""
    model = ModelConfig(kind="wan", weights="a b=c.pt", steps=3)
    wan = WanConfig(denoising_steps=[1000, 500], warp_steps=False, guidance=1.5, negative_prompt="it's: [bad], #1")
    config = load(Config, None, as_overrides(settings_of(model, wan)))
    assert (config.model, config.wan) == (model, wan)
    assert "wan" not in settings_of(ModelConfig(), wan)
    assert settings_sha256(settings_of(model, wan)) != settings_sha256(settings_of(replace(model, steps=2), wan))
