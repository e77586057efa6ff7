"""One published file onto the disk: whole, right, and whatever goes wrong said in a sentence that helps."""

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from pipeline import fetch as module
from pipeline.errors import WeightsError
from pipeline.fetch import fetch, fetched_bytes, partial, verify
from pipeline.wan_files import File
from tests.fake_hub import CHECKPOINT, CONTENT, REVISION, TINY_VAE, WEIGHTS, Hub, fake_hub, published

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on loopback, in place of the real one and of GitHub."""
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr(module, "GITHUB", hub.url)
        for name, value in {"HF_HUB_DISABLE_TELEMETRY": True, "HF_HUB_OFFLINE": False}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "secret")
        yield hub


def content(file: File, folder: Path) -> bytes:
    return (folder / file.path).read_bytes()


@pytest.mark.parametrize("file", [CHECKPOINT, TINY_VAE], ids=["hub", "GitHub"])
def test_a_file_arrives_where_it_belongs(hub: Hub, tmp_path: Path, file: File) -> None:
    """A file comes from its repository at the pinned revision to FOLDER/OWNER/NAME/..., and nothing else is left."""
    fetch(file, tmp_path)
    assert content(file, tmp_path) == CONTENT[file.name]
    assert not partial(tmp_path / file.path).exists()
    between = "" if file is TINY_VAE else "/resolve"
    assert {request.path for request in hub.requests} == {f"/{file.repo.name}{between}/{REVISION}/{file.name}"}


@pytest.mark.parametrize("file", [CHECKPOINT, TINY_VAE], ids=["hub", "GitHub"])
def test_a_part_is_gone_on_from(hub: Hub, tmp_path: Path, file: File) -> None:
    """What an earlier try has left is kept, and only the rest is asked for."""
    part = partial(tmp_path / file.path)
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[file.name][:300])
    assert fetched_bytes(file, tmp_path) == 300
    fetch(file, tmp_path)
    assert content(file, tmp_path) == CONTENT[file.name]
    assert [request.range for request in hub.gets()] == ["bytes=300-"]


def test_a_mirror_that_cannot_resume_sends_it_all(hub: Hub, tmp_path: Path) -> None:
    """A reply from the start to a request for the rest replaces the part."""
    hub.resumes = False
    part = partial(tmp_path / CHECKPOINT.path)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 300)
    fetch(CHECKPOINT, tmp_path)
    assert content(CHECKPOINT, tmp_path) == CONTENT[CHECKPOINT.name]


def test_a_part_longer_than_the_file_is_dropped(hub: Hub, tmp_path: Path) -> None:
    """A part that has more bytes than the file is not one of it."""
    part = partial(tmp_path / CHECKPOINT.path)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (CHECKPOINT.size_bytes + 1))
    fetch(CHECKPOINT, tmp_path)
    assert content(CHECKPOINT, tmp_path) == CONTENT[CHECKPOINT.name]


def test_an_interrupted_process_leaves_its_part(hub: Hub, tmp_path: Path) -> None:
    """Ctrl-C ends the command with a word, and what was fetched stays for the next run."""
    # The hub's library writes blocks of 10 MiB, and asks for the rest once the one that arrived is written.
    block, whole = 10 << 20, bytes((10 << 20) + 1000)
    hub.files[CHECKPOINT.name], hub.breaks_after = whole, block + 10
    file = replace(CHECKPOINT, size_bytes=len(whole), sha256=hashlib.sha256(whole).hexdigest())
    # What a shell runs in the background ignores Ctrl-C, and so would its children.
    program = f"""
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipeline import download
from pipeline.wan_files import File, Licence, Repo
download.describe_gpu = lambda: "none"
download.files = download.missing = lambda *_: [{file!r}]
sys.exit(download.main(["--folder", sys.argv[1], "--yes"]))
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert hub.asked_again.wait(60)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert (running.returncode, "The same command goes on" in told) == (130, True)
    assert fetched_bytes(file, tmp_path) == block


def test_the_bytes_are_held_against_the_hash(hub: Hub, tmp_path: Path) -> None:
    """Bytes that are not what was published are removed, and the error names the file and both hashes."""
    part = partial(tmp_path / CHECKPOINT.path)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 300)
    with pytest.raises(WeightsError, match=rf"model\.pt is not .* sha256 is [0-9a-f]{{64}}, not {CHECKPOINT.sha256}"):
        fetch(CHECKPOINT, tmp_path)
    assert not list(part.parent.iterdir())
    fetch(CHECKPOINT, tmp_path)
    assert content(CHECKPOINT, tmp_path) == CONTENT[CHECKPOINT.name]


def test_wrong_bytes_from_github_are_noticed(hub: Hub, tmp_path: Path) -> None:
    """Where no hash is stated beside the bytes, the known one decides."""
    hub.files[TINY_VAE.name] = b"x" * TINY_VAE.size_bytes
    with pytest.raises(WeightsError, match=f"not {TINY_VAE.sha256}"):
        fetch(TINY_VAE, tmp_path)


@pytest.mark.parametrize("what", ["size", "hash"])
def test_another_file_behind_the_name_is_not_fetched(hub: Hub, tmp_path: Path, what: str) -> None:
    """A hub that states another size or hash than the published one's is told off before a byte has come."""
    if what == "size":
        hub.files[CHECKPOINT.name] += b"more"
        hub.stated[CHECKPOINT.name] = CHECKPOINT.sha256
    else:
        hub.stated[CHECKPOINT.name] = "f" * 64
    with pytest.raises(WeightsError, match=r"offers another some/weights/checkpoints/model\.pt.*Nothing"):
        fetch(CHECKPOINT, tmp_path)
    assert not hub.gets()


def test_an_unconfirmed_hash_yields_to_the_hubs(hub: Hub, tmp_path: Path) -> None:
    """A hash that one source states is not held against what the hub sends and states another one for."""
    hub.files[CHECKPOINT.name] = b"y" * CHECKPOINT.size_bytes
    fetch(replace(CHECKPOINT, confirmed=False), tmp_path)
    assert content(CHECKPOINT, tmp_path) == b"y" * CHECKPOINT.size_bytes
    hub.stated[CHECKPOINT.name] = "f" * 64
    (tmp_path / CHECKPOINT.path).unlink()
    with pytest.raises(WeightsError, match="is not what was published"):
        fetch(replace(CHECKPOINT, confirmed=False), tmp_path)


def test_the_token_stays_with_the_hub(hub: Hub, tmp_path: Path) -> None:
    """Large files come from another host, which is not shown the user's token; GitHub is not shown it either."""
    hub.redirects = True
    fetch(CHECKPOINT, tmp_path)
    fetch(TINY_VAE, tmp_path)
    assert content(CHECKPOINT, tmp_path) == CONTENT[CHECKPOINT.name]
    shown = {(request.host.split(":")[0], "/resolve/" in request.path): request.token for request in hub.requests}
    assert shown == {("127.0.0.1", True): "Bearer secret", ("localhost", True): None, ("127.0.0.1", False): None}


@pytest.mark.parametrize(
    ("status", "word", "told"),
    [
        (404, "EntryNotFound", r"no longer has checkpoints/model\.pt at revision 01234567: put the file there by hand"),
        (404, "RevisionNotFound", "no longer has"),
        (404, "RepoNotFound", "is not there, or not for you"),
        (403, "GatedRepo", r"wants its terms accepted first.*hf auth login"),
        (503, "", "answered 503.*try again later"),
    ],
)
def test_refusals_say_what_to_do(hub: Hub, tmp_path: Path, status: int, word: str, told: str) -> None:
    """Every refusal of the hub becomes one line with the page, the reason and the way out."""
    hub.refusals[CHECKPOINT.name] = (status, word)
    with pytest.raises(WeightsError, match=f"^{hub.url}/some/weights {told}") as raised:
        fetch(CHECKPOINT, tmp_path)
    assert "\n" not in str(raised.value)


def test_a_refusal_of_github_says_what_to_do(hub: Hub, tmp_path: Path) -> None:
    """A file that GitHub no longer has is named with the place to put it by hand."""
    hub.refusals[TINY_VAE.name] = (404, "")
    with pytest.raises(WeightsError, match=rf"github\.com/some/tiny answered 404 .* as {tmp_path}/some/tiny/tiny\.saf"):
        fetch(TINY_VAE, tmp_path)


def test_a_file_cut_short(hub: Hub, tmp_path: Path) -> None:
    """Bytes that end too early are one line; what there is stays, and the same command fetches the rest."""
    hub.files[TINY_VAE.name] = CONTENT[TINY_VAE.name][:500]
    with pytest.raises(
        WeightsError, match=r"tiny\.safetensors could not be fetched .* goes on where it stop"
    ) as raised:
        fetch(TINY_VAE, tmp_path)
    assert "\n" not in str(raised.value)
    hub.files[TINY_VAE.name] = CONTENT[TINY_VAE.name]
    fetch(TINY_VAE, tmp_path)
    assert hub.gets()[-1].range == "bytes=500-"


def test_without_a_network(monkeypatch: pytest.MonkeyPatch, hub: Hub, tmp_path: Path) -> None:
    """A hub that can't be reached is one line: what, where, and how to go on."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"model\.pt could not be fetched .*127\.0\.0\.1:9.* by hand, as") as raised:
        fetch(CHECKPOINT, tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", [CHECKPOINT, TINY_VAE], ids=["hub", "GitHub"])
def test_offline_is_heeded(monkeypatch: pytest.MonkeyPatch, hub: Hub, tmp_path: Path, file: File) -> None:
    """With HF_HUB_OFFLINE set nobody is asked anything."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set.*by hand"):
        fetch(file, tmp_path)
    assert not hub.requests


def test_a_disk_that_fills_up(hub: Hub, tmp_path: Path) -> None:
    """A disk that is full in the middle is named as such."""
    part = partial(tmp_path / CHECKPOINT.path)
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(WeightsError, match=rf"the disk of {part.parent} is full"):
        fetch(CHECKPOINT, tmp_path)


def test_a_folder_that_cannot_be(hub: Hub, tmp_path: Path) -> None:
    """A folder that can't be written is named, with the ways to name another."""
    (tmp_path / "some").write_text("a file")
    with pytest.raises(WeightsError, match=r"cannot write .*--folder or \$VIVANT_WEIGHTS"):
        fetch(CHECKPOINT, tmp_path)


def test_two_downloads_do_not_mix(hub: Hub, tmp_path: Path) -> None:
    """While one process writes a file, another one leaves it alone."""
    part = partial(tmp_path / CHECKPOINT.path)
    part.parent.mkdir(parents=True)
    with part.open("ab") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="another download is writing"):
            fetch(CHECKPOINT, tmp_path)
    assert not hub.gets()


def test_a_file_put_there_by_hand_is_checked_once(tmp_path: Path) -> None:
    """A file is read through once, and again only after it was touched."""
    path = tmp_path / CHECKPOINT.path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[CHECKPOINT.name])
    verify(CHECKPOINT, tmp_path)
    touched_ns = path.stat().st_mtime_ns
    path.write_bytes(b"z" * CHECKPOINT.size_bytes)
    os.utime(path, ns=(touched_ns, touched_ns))
    verify(CHECKPOINT, tmp_path)
    os.utime(path, ns=(touched_ns, touched_ns + 1))
    with pytest.raises(WeightsError, match=r"is not what was published.*moved to .*model\.pt\.wrong"):
        verify(CHECKPOINT, tmp_path)
    assert not path.exists()
    assert path.with_name("model.pt.wrong").read_bytes() == b"z" * CHECKPOINT.size_bytes


def test_a_folder_where_nothing_may_be_written(tmp_path: Path) -> None:
    """Where it can't be noted that a file was checked, the file is right all the same."""
    path = tmp_path / CHECKPOINT.path
    path.with_name(".model.pt.verified").mkdir(parents=True)
    path.write_bytes(CONTENT[CHECKPOINT.name])
    verify(CHECKPOINT, tmp_path)
    assert path.exists()


def test_a_fetched_file_is_not_read_again(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked when it was fetched counts as checked."""
    fetch(CHECKPOINT, tmp_path)
    monkeypatch.setattr(module, "sha256_of", lambda _: pytest.fail("it was read again"))
    verify(CHECKPOINT, tmp_path)


def test_an_unconfirmed_hash_only_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file put there by hand is not turned down for a hash that one source states."""
    file = replace(published(WEIGHTS, "checkpoints/model.pt"), sha256="0" * 64, confirmed=False)
    path = tmp_path / file.path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[file.name])
    verify(file, tmp_path)
    assert "not confirmed" in caplog.text
    assert path.exists()
