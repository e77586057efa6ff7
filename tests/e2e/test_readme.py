"""What README tells to type does what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.contract import Server, picture

README = Path(__file__).parents[2] / "README.md"


def test_the_curl_examples(server: Server, tmp_path: Path) -> None:
    """Every command of the block runs as it stands, but for the server's address; none is answered with an error."""
    if shutil.which("curl") is None:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail("no curl, and CI must run README's examples: apt-get install curl", pytrace=False)
        pytest.skip("no curl, so README's examples did NOT run: apt-get install curl")
    (block,) = re.findall(r"```sh\n(URL=.*?)```", README.read_text("utf-8"), re.S)
    script, replaced = re.subn(r"^URL=.*", f"URL={server.url}", block)
    assert replaced == 1
    (tmp_path / "picture.jpg").write_bytes(picture(80, kind="JPEG"))
    strict = 'set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 20 "$@"; echo; }\n'
    done = subprocess.run(
        ["bash", "-c", strict + script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    replies = re.findall(r'"type": "(\w+)"', done.stdout)
    said = re.findall(r"# (\w+)$", block, re.M)
    assert replies == said
    assert len(said) > 5
    stream = re.findall(r'"stream": "([\w-]+)"', (tmp_path / "stream.json").read_text("utf-8"))[0]
    gone = subprocess.run(
        ["curl", "-s", f"{server.url}/streams/{stream}"], capture_output=True, text=True, check=True, timeout=20
    )
    assert "not_found" in gone.stdout
