"""What the Wan models are made of: facts that can be checked by arithmetic, and what is found in a folder."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError, WeightsError
from pipeline.wan_files import (
    CAUSAL_FORCING_CHUNKWISE,
    CAUSAL_FORCING_FRAMEWISE,
    CLIP,
    I2V_14B_SHARDS,
    MODELS,
    NON_COMMERCIAL,
    SELF_FORCING_DMD,
    T2V_14B_SHARDS,
    TEXT,
    TINY_VAE,
    WAN_VAE,
    File,
    Vae,
    choose,
    files,
    locate,
    missing,
    shards,
    weights_folder,
)
from tests.test_imports import TORCH, loaded


def put(folder: Path, *there: File) -> None:
    """Make files of the published sizes that take no room."""
    for file in there:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file.path).open("wb") as opened:
            opened.truncate(file.size_bytes)


@pytest.mark.parametrize(
    ("made_of", "parameters", "bytes_each"),
    [
        ((SELF_FORCING_DMD,), 1_418_996_800, 4),
        ((CAUSAL_FORCING_CHUNKWISE,), 1_418_996_800, 4),
        ((CAUSAL_FORCING_FRAMEWISE,), 1_418_996_800, 4),
        (T2V_14B_SHARDS, 14_288_491_584, 4),
        (I2V_14B_SHARDS, 16_394_878_784, 4),
        ((CLIP,), 1_193_014_785, 4),
        (TEXT[:1], 5_680_910_336, 2),
        ((WAN_VAE,), 126_892_531, 4),
        ((TINY_VAE,), 11_315_539, 2),
    ],
)
def test_sizes_are_those_of_the_networks(made_of: tuple[File, ...], parameters: int, bytes_each: int) -> None:
    """A checkpoint is its parameters, in the format they are published in, and a thousandth for names at most."""
    extra = sum(file.size_bytes for file in made_of) - parameters * bytes_each
    assert 0 < extra < parameters * bytes_each / 1000


@pytest.mark.parametrize(
    ("model", "total"),
    [
        ("wan_1_3b", 17_585_263_170),
        ("wan_1_3b_chunkwise", 17_585_293_260),
        ("wan_1_3b_framewise", 17_585_231_436),
        ("wan_t2v_14b", 69_063_088_009),
        ("wan_i2v_14b", 82_261_018_176),
    ],
)
def test_totals(model: str, total: int) -> None:
    """What a user downloads for each model, to the byte."""
    assert sum(file.size_bytes for file in files(model)) == total


def test_files_are_pinned() -> None:
    """Every file has a SHA-256, its repository a commit, and a place of its own."""
    every = {file for model in MODELS.values() for file in model.files}
    assert len({file.path for file in every}) == len({file.sha256 for file in every}) == len(every)
    assert {len(bytes.fromhex(file.sha256)) for file in every} == {32}
    assert {len(bytes.fromhex(file.repo.revision)) for file in every} == {20}


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_complete(model: str) -> None:
    """A model has a transformer, text encoder, tokenizer and both VAEs; one that sees pictures an image encoder too."""
    parts = {file.part for file in files(model)}
    assert parts - {"image_encoder"} == {"transformer", "text_encoder", "tokenizer", "vae", "taehv"}
    assert ("image_encoder" in parts) == ("i2v" in model)


def test_the_licence_that_forbids_is_known() -> None:
    """Self-Forcing's weights are not for commercial use, and the advice what to take instead is one that is."""
    bound = {name for name, model in MODELS.items() if any(file.repo.licence is NON_COMMERCIAL for file in model.files)}
    assert bound == {"wan_1_3b"}
    advised = [name for name in MODELS if f"take {name}," in NON_COMMERCIAL.meaning]
    assert advised == ["wan_1_3b_framewise"]


def test_wan_is_the_small_one() -> None:
    """``wan`` is short for ``wan_1_3b``; an unknown name is refused with the known ones."""
    assert choose("wan") is MODELS["wan_1_3b"]
    with pytest.raises(ConfigError, match=r"no model 'vvan'; the models are wan, wan_1_3b, .*wan_i2v_14b"):
        choose("vvan")


def test_missing_is_what_is_not_there_in_full(tmp_path: Path) -> None:
    """A file that is absent or of another size is missing."""
    assert missing("wan_1_3b", tmp_path) == list(files("wan_1_3b"))
    put(tmp_path, *files("wan_1_3b"))
    assert missing("wan_1_3b", tmp_path) == []
    with (tmp_path / WAN_VAE.path).open("ab") as opened:
        opened.truncate(WAN_VAE.size_bytes - 1)
    assert missing("wan_1_3b", tmp_path) == [WAN_VAE]
    assert missing("wan_1_3b", tmp_path, "taehv") == []


@pytest.mark.parametrize(("vae", "without"), [("wan", "taehv"), ("taehv", "vae"), ("both", None)])
def test_parts_are_found(tmp_path: Path, vae: Vae, without: str | None) -> None:
    """Each part has its path, and the VAE that is not asked for is left out."""
    put(tmp_path, *files("wan_1_3b", vae))
    found = locate("wan_1_3b", tmp_path, vae)
    parts = {"transformer", "text_encoder", "tokenizer", "vae", "taehv"}
    assert found.keys() == parts - {without}
    assert found["transformer"] == tmp_path / "gdhe17/Self-Forcing/checkpoints/self_forcing_dmd.pt"
    assert found["tokenizer"] == tmp_path / "Wan-AI/Wan2.1-T2V-1.3B/google/umt5-xxl/tokenizer.json"


def test_shards_are_found_by_the_first(tmp_path: Path) -> None:
    """The transformer of the 14B model is its first file, from which come the others."""
    put(tmp_path, *files("wan_i2v_14b"))
    found = shards(locate("wan_i2v_14b", tmp_path)["transformer"])
    assert found == [tmp_path / file.path for file in I2V_14B_SHARDS]


def test_a_missing_file_is_told_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names file, folder and the command that fetches it, with the folder if it isn't the usual one."""
    usual, other = tmp_path / "usual", tmp_path / "another one"
    monkeypatch.setenv("VIVANT_WEIGHTS", str(usual))
    put(usual, *files("wan_1_3b")[1:])
    line = f"^gdhe17/Self-Forcing/checkpoints/self_forcing_dmd.pt is not in {usual}; to fetch what is missing: "
    with pytest.raises(WeightsError, match=f"{line}python -m pipeline.download --model wan_1_3b$"):
        locate("wan", usual)
    with pytest.raises(WeightsError, match=rf"nor are 3 other files.* --folder '{other}' --vae wan$"):
        locate("wan", other, "wan")


def test_the_folder_of_all_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A named folder counts most, then $VIVANT_WEIGHTS, then the user's cache."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("VIVANT_WEIGHTS", "/data")
    assert weights_folder("~/mine") == Path("/home/somebody/mine")
    assert weights_folder() == Path("/data")
    monkeypatch.delenv("VIVANT_WEIGHTS")
    assert weights_folder() == Path("/home/somebody/.cache/vivant/weights")


def test_asking_is_cheap() -> None:
    """The questions about a folder load neither torch nor the hub's library."""
    assert not loaded("import pipeline.wan_files, pipeline.fetch, pipeline.download") & (TORCH | {"huggingface_hub"})
