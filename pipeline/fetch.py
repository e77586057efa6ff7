"""One published file onto the disk: resumed where it stopped, then checked against its SHA-256.

huggingface_hub finds the file, authorizes, retries and shows progress. Its own ``hf_hub_download`` is not used: since
release 1 it throws away what an interrupted run has fetched, which may be 10 GB here.
"""

import errno
import fcntl
import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from pipeline.errors import WeightsError
from pipeline.wan_files import File, readable

GITHUB = "https://raw.githubusercontent.com"
BLOCK_BYTES = 1 << 23

logger = logging.getLogger("vivant")


@dataclass(frozen=True, slots=True)
class Offer:
    """Where the bytes of a file are to be had, and the SHA-256 that is stated there, if any."""

    url: str
    headers: dict[str, str]
    sha256: str = ""


def fetch(file: File, folder: Path) -> None:
    """Download a file below the folder, going on from where an earlier try stopped, and check it.

    Raises WeightsError, one sentence that says what to do, when it can't be had, or is not what was published.
    """
    path = folder / file.path
    part = partial(path)
    try:
        offer = _find(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            _lock(out, part)
            _receive(offer, out, file)
            out.flush()
            fault = _fault(file, part, offer.sha256)
            if fault:
                part.unlink()
                raise WeightsError(f"{fault}; what was fetched has been removed: the same command fetches it again")
            part.replace(path)
        _mark(path)
    except _failures() as error:
        raise WeightsError(_explain(error, file, path)) from error


def verify(file: File, folder: Path) -> None:
    """Check a file that is there already; one that was checked before and not touched since is not read again.

    Raises WeightsError for one that is not what was published, after moving it out of the way.
    """
    path = folder / file.path
    marker = _marker(path)
    if marker.is_file() and marker.read_text(encoding="ascii", errors="replace") == _state(path):
        return
    fault = _fault(file, path)
    if fault:
        aside = path.with_name(f"{path.name}.wrong")
        path.replace(aside)
        raise WeightsError(f"{fault}; it was moved to {aside}, and the same command fetches the right one")
    _mark(path)


def partial(path: Path) -> Path:
    """Give where a file is while only a part of it is there."""
    return path.with_name(f"{path.name}.part")


def fetched_bytes(file: File, folder: Path) -> int:
    """Say how much of a file an earlier try has left behind."""
    part = partial(folder / file.path)
    return min(part.stat().st_size, file.size_bytes) if part.exists() else 0


def site(file: File) -> str:
    """Give the address of the site that a file comes from; ``$HF_ENDPOINT`` names a mirror of the hub."""
    if file.repo.site == "github.com":
        return "https://github.com"
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def _find(file: File) -> Offer:
    """Ask where the bytes are. The hub states size and hash, and both must be the known ones before any is fetched."""
    # A compressed reply could not be resumed.
    plain = {"Accept-Encoding": "identity"}
    repo = file.repo
    if repo.site == "github.com":
        return Offer(f"{GITHUB}/{repo.name}/{repo.revision}/{quote(file.name)}", plain)
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(repo.name, file.name, revision=repo.revision, endpoint=site(file))
    stated = get_hf_file_metadata(url, endpoint=site(file))
    # Large files carry their SHA-256 for an ETag, small ones git's own kind of hash.
    sha256 = stated.etag if stated.etag and len(stated.etag) == 64 else ""
    if stated.size not in (None, file.size_bytes) or (file.confirmed and sha256 not in ("", file.sha256)):
        raise WeightsError(
            f"{site(file)} offers another {file.path} than the one that was published: {stated.size} bytes, sha256 "
            f"{sha256 or 'not stated'}; known are {file.size_bytes} bytes, {file.sha256}. Nothing of it was fetched"
        )
    # Not the place that the hub redirects to: that address expires within the hour, and a retry needs a new one.
    return Offer(url, build_hf_headers() | plain, sha256)


def _receive(offer: Offer, out: BinaryIO, file: File) -> None:
    from huggingface_hub.file_download import http_get

    if out.tell() > file.size_bytes:
        out.seek(0)
        out.truncate()
    http_get(
        offer.url,
        out,
        resume_size=out.tell(),
        headers=offer.headers,
        expected_size=file.size_bytes,
        displayed_filename=file.name.rpartition("/")[2],
    )


def _lock(out: BinaryIO, part: Path) -> None:
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WeightsError(f"another download is writing {part} at this moment: wait for it, or end it") from error


def _fault(file: File, path: Path, stated: str = "") -> str:
    """Hold the bytes against the hash stated by where they came from, else the known one; "" if they are right.

    A known hash that was found in one place only is not held against anybody's file.
    """
    found, wanted = sha256_of(path), stated or file.sha256
    if found == wanted:
        return ""
    told = f"{file.path} is not what was published: its sha256 is {found}, not {wanted}"
    if stated or file.confirmed:
        return told
    logger.warning("%s; that one is not confirmed, so the file is taken as it is", told)
    return ""


def sha256_of(path: Path) -> str:
    """Hash a file, with progress where that takes more than a moment."""
    from huggingface_hub.utils import tqdm

    digest, size_bytes = hashlib.sha256(), path.stat().st_size
    shown = tqdm(total=size_bytes, unit="B", unit_scale=True, desc=f"checking {path.name}", disable=size_bytes < 1e8)
    with path.open("rb") as opened, shown as progress:
        while block := opened.read(BLOCK_BYTES):
            digest.update(block)
            progress.update(len(block))
    return digest.hexdigest()


def _marker(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _state(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}\n"


def _mark(path: Path) -> None:
    # In a folder where nothing may be written, the file is read again the next time.
    with suppress(OSError):
        _marker(path).write_text(_state(path), encoding="ascii")


def _failures() -> tuple[type[BaseException], ...]:
    """What a request or a write fails with: OSError, and HTTPError of whichever httpx the installed hub is built on."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(kind for kind in HfHubHTTPError.__mro__ if kind not in (Exception, BaseException, object))


def _explain(error: BaseException, file: File, path: Path) -> str:
    """Say in one sentence what went wrong and what to do about it."""
    from huggingface_hub import errors

    page = f"{site(file)}/{file.repo.name}"
    by_hand = f"put the file there by hand, as {path}"
    match error:
        case errors.OfflineModeIsEnabled():
            return f"HF_HUB_OFFLINE is set, so {file.path} was not fetched: unset it, or {by_hand}"
        case errors.GatedRepoError():
            return f"{page} wants its terms accepted first: do so on that page, then run `hf auth login` and try again"
        case errors.RepositoryNotFoundError():
            return f"{page} is not there, or not for you: look whether it has moved, and {by_hand}"
        case errors.RevisionNotFoundError() | errors.EntryNotFoundError():
            return f"{page} no longer has {file.name} at revision {file.repo.revision[:8]}: {by_hand}"
        case errors.HfHubHTTPError():
            return f"{page} answered {error.response.status_code} for {file.name}: try again later, or {by_hand}"
        case OSError(errno=errno.ENOSPC):
            return f"the disk of {path.parent} is full: {readable(file.size_bytes)} are needed for {path.name} in all"
        case OSError(errno=int(), filename=str() | bytes()):
            return f"cannot write {error.filename}: {error.strerror}; --folder or $VIVANT_WEIGHTS names another place"
    reason = str(error).partition("\n")[0] or type(error).__name__
    return (
        f"{file.name} could not be fetched from {page} ({reason}): check the network, the same command goes on where "
        f"it stopped; or {by_hand}"
    )
