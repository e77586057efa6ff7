"""What pocket has seen: remembered once, and gone when another is seen."""

import platform
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.free_memory import give_back
from pipeline.pocket import sight
from pipeline.pocket.canvas import CPU, Canvas, prepare
from pipeline.types import Pixels
from tests.pocket_parts import conditioning, pipeline

Textures = list["weakref.ref[Tensor]"]


def left(textures: Textures) -> int:
    return sum(texture() is not None for texture in textures)


@pytest.fixture
def textures(monkeypatch: pytest.MonkeyPatch) -> Textures:
    """What canvases are made of, each of which is made when there is none of before."""
    found: Textures = []

    def noted(image: Pixels, width: int, height: int, device: torch.device = CPU) -> Canvas:
        assert not left(found)
        made = prepare(image, width, height, device)
        found.append(weakref.ref(made.texture))
        return made

    monkeypatch.setattr(sight, "prepare", noted)
    return found


def test_the_last_picture_is_gone_before_the_next_is_seen(textures: Textures) -> None:
    """A picture that no stream shows takes no memory while another's canvas is made; the same one is seen once."""
    model = pipeline()
    for seed in (0, 0, 1):
        model.close(model.open(conditioning(picture_seed=seed)))
    assert (len(textures), left(textures)) == (2, 1)


def test_what_a_model_was_warmed_up_by_is_forgotten(textures: Textures) -> None:
    """A model that is warm holds no picture."""
    model = pipeline(steps=1)
    model.warm_up()
    assert textures
    assert not left(textures)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_free_memory_goes_back() -> None:
    """What lies free below a block in use is the system's again."""

    def resident() -> int:
        told = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("RssAnon"))

    blocks = [bytes(2000) for _ in range(30_000)]
    del blocks[:-1]
    held = resident()
    give_back()
    assert held - resident() > 40_000
