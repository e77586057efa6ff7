import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from pipeline import standins, wan_files
from pipeline.errors import WeightsError
from pipeline.prompts import tokenizer
from pipeline.standins import write_model
from pipeline.wan.file_layouts import sizes
from pipeline.wan.loading import Loader
from pipeline.wan.memory import Placement
from pipeline.wan_files import Part

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins of every model, tiny, in one folder as they would be downloaded."""
    folder = tmp_path_factory.mktemp("weights")
    for model in wan_files.MODELS:
        list(write_model(folder, model, tiny=True, complete=model == "wan_i2v_14b"))
    return folder


def parts(folder: Path, model: str) -> dict[Part, Path]:
    found: dict[Part, Path] = {}
    for file in wan_files.files(model):
        found.setdefault(file.part, folder / file.path)
    return found


@pytest.mark.parametrize("model", wan_files.MODELS)
def test_every_file_of_a_model_is_written_under_its_published_name(folder: Path, model: str) -> None:
    """What the download would put there is there."""
    assert all((folder / file.path).is_file() for file in wan_files.files(model))


@pytest.mark.parametrize("model", wan_files.MODELS)
def test_every_network_loads_from_the_stand_ins_and_gives_numbers(folder: Path, model: str) -> None:
    """The way of the real files, from prompt and picture to pixels: no value overflows, none is lost."""
    torch.manual_seed(0)
    placement = Placement("device", "dtype", True, None)
    loader = Loader(sizes(model, True), parts(folder, model), CPU, torch.float32, torch.float32, placement)
    text = loader.text()("The leaves begin to sway gently in the wind")
    keys = loader.transformer().cross_keys_values(text)[0][0][0]
    video, _ = loader.wan_vae(decoder=True).decode(torch.randn(1, 16, 2, 4, 4))
    small, _ = loader.tiny_vae().decode_frames(torch.randn(1, 16, 2, 4, 4), None)
    made = [text, keys, video, small]
    if model == "wan_i2v_14b":
        made.append(loader.image_encoder()(torch.rand(1, 3, 30, 40)))
    for values in made:
        assert torch.isfinite(values).all()
        assert 0.01 < values.std() < 10


def test_the_tokenizer_is_one_that_the_text_encoder_takes(folder: Path) -> None:
    """Padding, end and unknown have their ids, Latin letters have some, and all lie in the vocabulary."""
    tokenize = tokenizer(parts(folder, "wan_1_3b")["tokenizer"])
    ids, mask = tokenize(["A cat, é", "b"])
    assert ids[0, -2:].tolist() == [2, 1]
    assert ids[1].tolist()[2:] == [0] * (ids.shape[1] - 2)
    assert mask.sum(1).tolist() == [ids.shape[1], 2]
    assert ids.max() < sizes("wan_1_3b", True).text.vocabulary


def test_a_full_tokenizer_has_the_published_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """White space fills it up, and it still reads."""
    monkeypatch.setattr(standins, "layouts", lambda model, tiny: [])
    (path,) = write_model(tmp_path, "wan")
    file = next(file for file in wan_files.TEXT if file.part == "tokenizer")
    assert (path.relative_to(tmp_path), path.stat().st_size) == (Path(file.path), file.size_bytes)
    assert tokenizer(path)(["a"])[0].shape == (1, 2)


def test_files_that_are_there_stay(folder: Path) -> None:
    """A second model's stand-ins add what it has for itself."""
    vae = folder / wan_files.WAN_VAE.path
    before = vae.stat().st_mtime_ns
    list(write_model(folder, "wan_1_3b", tiny=True))
    assert vae.stat().st_mtime_ns == before


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """82 GB are not begun where there is room for one."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2, 1, 1_000_000_000))
    with pytest.raises(WeightsError, match=r"wan_i2v_14b takes 82\.\d\d GB in .*, where 1\.00 GB are free"):
        list(write_model(tmp_path, "wan_i2v_14b"))
    assert not list(tmp_path.iterdir())
