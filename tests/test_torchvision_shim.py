"""Beside any torch, what needs torchvision can be imported once the shim was."""

import subprocess
import sys

PROGRAM = """
import pipeline.torchvision_shim
import open_clip, torch
from torchvision.transforms import v2
assert v2.functional.resize(torch.zeros(3, 8, 8), [4, 4], antialias=True).shape == (3, 4, 4)
print(tuple(open_clip.SimpleTokenizer()(["a cat"]).shape))
"""


def test_open_clip_imports_after_the_shim() -> None:
    """open_clip's tokenizer and torchvision's transforms work in a fresh process, whatever build of torch."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("(1, 77)\n", 0), done.stderr


def test_importing_it_late_is_harmless() -> None:
    """The shim declares nothing twice, even in a process that has torchvision already."""
    program = f"{PROGRAM}\nimport importlib\nimportlib.reload(pipeline.torchvision_shim)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
