"""A hub on loopback, for tests: a small model's published files, served as the hub and as GitHub serve them."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from pipeline.wan_files import APACHE, MIT, NON_COMMERCIAL, File, Model, Repo

REVISION = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = Repo("some/weights", REVISION, NON_COMMERCIAL)
TEXT = Repo("some/text", REVISION, APACHE)
TINY = Repo("some/tiny", REVISION, MIT, "github.com")
CONTENT = {
    "checkpoints/model.pt": bytes(range(256)) * 40,
    "encoder.pth": b"text" * 700,
    "vae.pth": b"vae" * 300,
    "tiny.safetensors": b"tiny" * 200,
}


def published(repo: Repo, name: str, confirmed: bool = True) -> File:
    """Describe a file as it is published."""
    content = CONTENT[name]
    part = "transformer" if repo is WEIGHTS else "taehv" if repo is TINY else "vae" if "vae" in name else "text_encoder"
    return File(repo, name, part, len(content), hashlib.sha256(content).hexdigest(), confirmed)


CHECKPOINT = published(WEIGHTS, "checkpoints/model.pt")
ENCODER = published(TEXT, "encoder.pth")
VAE = published(TEXT, "vae.pth")
TINY_VAE = published(TINY, "tiny.safetensors")
SMALL = Model("wan_1_3b", "a small one", (CHECKPOINT, ENCODER, VAE, TINY_VAE))


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of the hub."""

    method: str
    host: str
    path: str
    range: str | None
    token: str | None


@dataclass(slots=True)
class Hub:
    """What the hub has and how it behaves, by file name; and what it was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and the hub's word for it, in place of a file."""
    stated: dict[str, str] = field(default_factory=dict)
    """A SHA-256 other than that of the bytes."""
    redirects: bool = False
    """Whether the bytes are at another host, as large files are."""
    resumes: bool = True
    """Whether a range is heeded."""
    breaks_after: int = 0
    """So many bytes into a file the connection breaks; who asks for the rest then waits until ``speaks`` is set."""
    asked_again: threading.Event = field(default_factory=threading.Event)
    speaks: threading.Event = field(default_factory=threading.Event)
    requests: list[Request] = field(default_factory=list)

    def gets(self) -> list[Request]:
        """The requests for bytes, from wherever these came in the end."""
        return [request for request in self.requests if request.method == "GET"]


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """Serve until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    hub = server.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.speaks.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    @property
    def hub(self) -> Hub:
        """The hub that was asked."""
        return self.server.hub  # type: ignore[attr-defined]

    def do_HEAD(self) -> None:
        """Tell about a file."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Send a file, or what is left of it."""
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, with_body: bool) -> None:
        path, hub, host = unquote(urlsplit(self.path).path), self.hub, self.headers["Host"]
        sent = Request(self.command, host, path, self.headers["Range"], self.headers["Authorization"])
        hub.requests.append(sent)
        name = path.partition(f"/{REVISION}/")[2]
        status, word = hub.refusals.get(name, (200, "") if name in hub.files else (404, "EntryNotFound"))
        if status != 200:
            self._headers(status, {"X-Error-Code": word, "Content-Length": "0"})
            return
        elsewhere = hub.url.replace("127.0.0.1", "localhost")
        if hub.redirects and "/resolve/" in path and host not in elsewhere:
            self._headers(302, self._stated(name) | {"Location": elsewhere + self.path, "Content-Length": "0"})
            return
        start = int(sent.range.removeprefix("bytes=").rstrip("-")) if sent.range and hub.resumes else 0
        body = hub.files[name][start:]
        self._headers(206 if start else 200, self._stated(name) | {"Content-Length": str(len(body))})
        if not with_body:
            return
        if hub.breaks_after and start:
            hub.asked_again.set()
            hub.speaks.wait()
        self.wfile.write(body[: hub.breaks_after or None])
        self.close_connection = True

    def _stated(self, name: str) -> dict[str, str]:
        content = self.hub.files[name]
        sha256 = self.hub.stated.get(name) or hashlib.sha256(content).hexdigest()
        return {"X-Repo-Commit": REVISION, "X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content))}

    def _headers(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
