"""The server as a process: how it starts, what it refuses, how it ends."""

import asyncio
import contextlib
import hashlib
import io
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from PIL import Image

import server
from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import WeightsError
from pipeline.interface import Pipeline, Progress
from stream import addresses
from stream.broadcast import Broadcast
from stream.config import Config
from stream.encoder import Codec, StreamEncoder
from stream.engine import Engine
from stream.nvenc import PROBE_FPS, PROBE_KBPS, Encoders, NvencEncoder, find_fault
from stream.signalling import Dependencies
from tests.certificate import make_certificate
from tests.fake_engine import FakeEngine
from tests.fakes import FakeClock, FakePipeline, build_fake
from tests.gate import Gate
from tests.loopback import Client

ROOT = Path(__file__).parents[1]
FAKE = ("-m", "tests.serve_fake")
Serve = Callable[..., Awaitable[tuple[int, str]]]
START_S = 30
END_S = 5


class Running:
    """A server process: its URL, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""

    async def line(self) -> str:
        """Give the next line of its output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            return (await self.process.stdout.readline()).decode()

    async def listening(self) -> str:
        """Wait until it listens; give its URL."""
        line = await self.line()
        found = re.search(r"https?://[^ ,;]+", line)
        assert found, line
        self.url = found.group()
        return self.url

    async def ready(self) -> str:
        """Wait until its model is warm; give its URL."""
        await self.listening()
        assert (await self.line()).startswith("Ready.")
        return self.url

    async def ended(self) -> tuple[int, str]:
        """Wait until it, and all that it started, has ended; give its status and its errors."""
        # The pipes close only when the last process that holds them has ended, the engine's too.
        async with asyncio.timeout(END_S):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@contextlib.asynccontextmanager
async def running(*arguments: str, **environ: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        env=os.environ | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def get(url: str, **options: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.json() if is_json else await response.text()


def status_and_errors(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = server.main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    return status, captured.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["server.prot=1"], "did you mean server.port?"),
        (["server.port=http"], "server.port: Value 'http'"),
        (["none.yaml"], "can't read the configuration file none.yaml"),
        (["a.yaml", "b.yaml"], "one configuration file at most, got a.yaml and b.yaml"),
        (["--port", "80"], "there is no option --port; values are key=value, as in server.port=9000"),
        (["--port=80"], "there is no option --port=80"),
        (["server.host=0.0.0.0"], "server.access_token=SECRET"),
        (["server.host=::", "server.port=0"], "server.allow_insecure=true"),
    ],
)
def test_misuse(capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    """What can't be meant is refused with status 2 and one line that says what can."""
    status, errors = status_and_errors(capsys, *arguments)
    assert status == 2
    assert errors.startswith("server.py: ")
    assert says in errors
    assert errors.count("\n") == 1


def test_certificates_that_are_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Files that hold no certificate and key are refused with the names of their keys."""
    path = tmp_path / "cert.pem"
    path.write_text("nothing")
    status, errors = status_and_errors(capsys, f"server.tls_cert={path}", f"server.tls_key={path}")
    assert (status, errors.count("\n")) == (2, 1)
    assert "server.tls_cert and server.tls_key do not make a pair" in errors


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    """Asked for help, it prints its usage and ends."""
    assert server.main([flag]) == 0
    assert capsys.readouterr().out.startswith("usage: python server.py [CONFIG.yaml]")


async def test_the_file_itself_refuses() -> None:
    """python server.py ends with status 2 and the same line, without a traceback."""
    async with running("server.py", "server.prot=1") as process:
        status, errors = await process.ended()
    assert status == 2
    assert errors.startswith("server.py: unknown key 'server.prot'")
    assert errors.count("\n") == 1


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Serve:
    """Serve in this process until that ends by itself; gives the status and the errors."""

    async def serve(build: server.BuildPipeline, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("stream.network.use_network", lambda network: None)
        config = server.configure(["engine.kind=thread", *arguments])
        async with asyncio.timeout(START_S):
            status = await server.serve(config, None, build)
        return status, capsys.readouterr().err

    return serve


def unloadable(model: ModelConfig, wan: WanConfig, progress: Progress) -> Pipeline[Any]:
    raise WeightsError("these weights do not fit")


async def test_a_port_in_use(served: Serve) -> None:
    """A port that another holds ends it with status 1, the port and the way out in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, errors = await served(unloadable, f"server.port={port}")
    assert status == 1
    assert f"can't listen on 127.0.0.1 port {port}: " in errors
    assert "in use" in errors
    assert "server.port=" in errors
    assert "Traceback" not in errors


async def test_an_address_of_nobody(served: Serve) -> None:
    """A host that can't be listened on ends it with status 1 and names the key."""
    status, errors = await served(unloadable, "server.host=nowhere.invalid", "server.allow_insecure=true")
    assert status == 1
    assert "server.host" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("kind", ["process", "thread"])
async def test_the_page_comes_before_the_model(kind: str) -> None:
    """While the model loads the page and /healthz answer, though not to foreign names and pages; /readyz says why not;
    SIGTERM still ends it."""
    arguments = (*FAKE, "server.port=0", f"engine.kind={kind}")
    async with running(*arguments, FAKE_WARM_UP_S="60") as process:
        url = await process.listening()
        assert (await get(f"{url}/healthz"))[0] == 200
        assert await get(f"{url}/readyz") == (503, {"ready": False, "reason": "the model is loading"})
        assert (await get(url))[0] == 200
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            status, body = await get(f"{url}/healthz", headers=headers)
            assert (status, body["error"]["code"]) == (403, "forbidden_origin")
        assert (await get(f"{url}/healthz", headers={"Origin": url}))[0] == 200
        process.process.send_signal(signal.SIGTERM)
        assert (await process.ended())[0] == 0


@pytest.mark.parametrize("kind", ["process", "thread"])
async def test_the_start_is_told(gate: Gate, kind: str) -> None:
    """/readyz says where the model's start is, and the console prints each stage once."""
    arguments = (*FAKE, "server.port=0", f"engine.kind={kind}")
    stages = ("loading the transformer (2 of 5)", "warming up: chunk 3 of 5")
    async with running(*arguments, FAKE_STAGES=";".join(stages), FAKE_GATE=str(gate.port)) as process:
        url = await process.listening()
        assert await process.line() == "Model: building\n"
        for stage in stages:
            assert await process.line() == f"Model: {stage}\n"
            reason = f"the model is loading: {stage}"
            assert await get(f"{url}/readyz") == (503, {"ready": False, "reason": reason})
            await gate.let_pass()
        assert (await process.line()).startswith("Ready.")
        assert await get(f"{url}/readyz") == (200, {"ready": True})


async def test_a_model_that_fails(served: Serve) -> None:
    """A model that can't be built, in a process of its own, ends it with status 1 and the model's own words."""
    status, errors = await served(unloadable, "server.port=0", "engine.kind=process")
    assert status == 1
    assert "server.py: the model can't be started: these weights do not fit" in errors


async def test_an_encoder_that_is_not_there(served: Serve) -> None:
    """Who insists on the GPU's encoder is told why it can't be had, with status 1."""
    if find_fault(NvencEncoder(PROBE_FPS, PROBE_KBPS)) is None:
        pytest.skip("NVENC works here")

    def build(model: ModelConfig, wan: WanConfig, progress: Progress) -> Pipeline[Any]:
        return build_fake(progress)

    status, errors = await served(build, "server.port=0", "stream.encoder=nvenc")
    assert status == 1
    assert "server.py: stream.encoder: nvenc does not work here (" in errors


async def test_streams_are_encoded_as_the_probe_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stream takes its encoders from where the probe was made."""
    asked: list[Codec] = []

    class NotedEncoders(Encoders):
        def create(self, codec: Codec, fps: Fraction, kbps: int, ceiling_kbps: int) -> StreamEncoder:
            asked.append(codec)
            return super().create(codec, fps, kbps, ceiling_kbps)

    monkeypatch.setattr("stream.signalling.build_app", lambda dependencies: dependencies)
    engine = cast(Engine, FakeEngine(FakeClock(), FakePipeline()))
    dependencies = cast(Dependencies, server.make_app(Config(), engine, NotedEncoders("auto"), {}))
    live = dependencies.streams.create()
    cast(Broadcast, live.broadcast).subscribe("H264")
    assert asked == ["H264"]
    await dependencies.streams.close()


@pytest.mark.parametrize(
    ("kind", "number"), [("process", signal.SIGTERM), ("process", signal.SIGINT), ("thread", signal.SIGTERM)]
)
async def test_the_end_says_goodbye(kind: str, number: signal.Signals) -> None:
    """On SIGTERM and SIGINT every client, watching or idle, gets goodbye, and it ends with 0 within 5 s."""
    async with running(*FAKE, "server.port=0", f"engine.kind={kind}") as process:
        url = await process.ready()
        assert await get(f"{url}/readyz") == (200, {"ready": True})
        assert (await get(f"{url}/capabilities"))[1]["model"] == "fake"
        clients = [await connected(url), await connected(url)]
        await start(clients[0])
        process.process.send_signal(number)
        for client in clients:
            assert (await client.message("goodbye"))["reason"] == "server_shutdown"
        status, errors = await process.ended()
        for client in clients:
            await client.close()
    assert status == 0
    for trouble in ("Traceback", "ERROR", "WARNING", "never retrieved", "was destroyed"):
        assert trouble not in errors


async def connected(url: str) -> Client:
    client = Client()
    body = {"type": "offer", "sdp": await client.offer()}
    async with aiohttp.ClientSession() as session, session.post(f"{url}/offer", json=body) as response:
        assert response.status == 200, await response.text()
        await client.accept((await response.json())["sdp"])
    return client


async def start(client: Client) -> None:
    """Upload a picture and have it move."""
    file = io.BytesIO()
    Image.new("RGB", (64, 32), (90, 120, 150)).save(file, "PNG")
    data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    client.send(type="upload_image", id=1, size=len(data), mime="image/png", sha256=digest)
    assert client.channel is not None
    client.channel.send(data)
    await client.message("image_uploaded")
    client.send(type="start", id=2)
    await client.message("started")


async def test_on_every_interface() -> None:
    """On every interface it answers to its own addresses, and asks for its token before it takes an offer."""
    arguments = ("server.host=0.0.0.0", "server.port=0", "server.access_token=sesame")
    async with running(*FAKE, *arguments) as process:
        url = await process.ready()
        for address in filter(None, ["127.0.0.1", addresses.outgoing_address()]):
            assert (await get(f"{url.replace('127.0.0.1', address)}/healthz"))[0] == 200
        assert (await get(f"{url}/healthz", headers={"Host": "evil.example"}))[0] == 403
        async with aiohttp.ClientSession() as session:
            body = {"type": "offer", "sdp": "v=0"}
            async with session.post(f"{url}/offer", json=body) as response:
                assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
            async with session.post(f"{url}/offer", json=body | {"access_token": "sesame"}) as response:
                assert response.status == 400


async def test_tls(tmp_path: Path) -> None:
    """With a certificate and its key it speaks https, and needs no more to leave loopback."""
    certificate, key = make_certificate(tmp_path)
    arguments = (f"server.tls_cert={certificate}", f"server.tls_key={key}", "server.host=0.0.0.0")
    async with running(*FAKE, "server.port=0", *arguments) as process:
        url = await process.listening()
        assert url.startswith("https://")
        assert (await get(f"{url}/healthz", ssl=False))[0] == 200


@pytest.mark.parametrize(
    ("address", "urls"),
    [
        (("127.0.0.1", 80), ["http://127.0.0.1:80"]),
        (("::1", 80, 0, 0), ["http://[::1]:80"]),
        (("192.168.1.5", 80), ["http://192.168.1.5:80"]),
        (("0.0.0.0", 80), ["http://127.0.0.1:80", "http://10.0.0.7:80"]),
        (("::", 80, 0, 0), ["http://127.0.0.1:80", "http://10.0.0.7:80"]),
    ],
)
def test_addresses_to_open(address: tuple[Any, ...], urls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL told is one that can be opened; for a server on every interface there is one for others too."""
    monkeypatch.setattr(addresses, "outgoing_address", lambda: "10.0.0.7")
    assert server.describe_addresses(address, secure=False) == urls
    monkeypatch.setattr(addresses, "outgoing_address", lambda: None)
    assert server.describe_addresses(address, secure=False) == urls[:1]
