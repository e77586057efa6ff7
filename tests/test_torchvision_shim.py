"""Beside any torch, torchvision can be imported once the shim was; that open_clip can, ``test_image_clip.py`` needs."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib
import pipeline.torchvision_shim
import torch
from torchvision.transforms import v2
print(tuple(v2.functional.resize(torch.zeros(3, 8, 8), [4, 4], antialias=True).shape))
importlib.reload(pipeline.torchvision_shim)
print("reloaded")
"""


@pytest.fixture(scope="module")
def done() -> "subprocess.CompletedProcess[str]":
    """The program in a fresh process, which takes seconds to import it all."""
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)


def test_torchvision_imports_after_the_shim(done: "subprocess.CompletedProcess[str]") -> None:
    """Its transforms work, whatever build of torch."""
    assert done.stdout.startswith("(3, 4, 4)\n"), done.stderr


def test_importing_it_late_is_harmless(done: "subprocess.CompletedProcess[str]") -> None:
    """The shim declares nothing twice, even in a process that has torchvision already."""
    assert done.stdout.endswith("reloaded\n"), done.stderr
    assert done.returncode == 0, done.stderr
