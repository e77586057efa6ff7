"""Streams that go on after a disconnect and after their server was killed: real processes, real connections."""

import asyncio
import contextlib
import hashlib
import io
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image

from pipeline.session import SentChunk, read_session
from tests.loopback import Client

ROOT = Path(__file__).parents[1]
START_S = 150


class Server:
    """The server as a process over a folder that outlives it; its pictures move by a model that can be saved."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        kept = (f"stream.resume_folder={folder / 'kept'}", f"stream.session_logs={folder / 'logs'}")
        self.arguments = ("server.port=0", *kept, "stream.checkpoint_s=0.5", *arguments)
        self.logs = folder / "logs"
        self.process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self, *more: str, module: str = "tests.serve_fake") -> None:
        """Start it, and wait until its model is warm."""
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *self.arguments, *more),
            cwd=ROOT,
            env=os.environ | {"FAKE_RESUMABLE": "1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(START_S):
            while not (line := (await self.process.stdout.readline()).decode()).startswith("Ready"):
                assert line, "it ended"
                if found := re.search(r"https?://[^ ,;]+", line):
                    self.url = found.group()

    async def kill(self) -> None:
        """Kill it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.communicate()

    async def end(self) -> None:
        """End it, if it runs."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.communicate()

    async def offer(self, client: Client, **fields: str) -> tuple[int, Any]:
        """Offer a connection; gives the status and the answer."""
        body = {"type": "offer", "sdp": await client.offer(), **fields}
        async with aiohttp.ClientSession() as session, session.post(f"{self.url}/offer", json=body) as response:
            answer = await response.json()
        if response.status == 200:
            await client.accept(answer["sdp"])
        return response.status, answer

    def chunks(self, stream: str) -> list[list[SentChunk]]:
        """What each log of a stream has, the oldest first."""
        return [read_session(path).chunks for path in sorted(self.logs.glob(f"*-{stream}.jsonl"))]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path)
    yield server
    await server.end()


def picture() -> bytes:
    """A picture file of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


async def begin(server: Server) -> tuple[Client, dict[str, str]]:
    """Direct a new stream until it plays; gives what it is joined by."""
    client = Client()
    status, answer = await server.offer(client)
    assert status == 200, answer
    data = picture()
    digest = hashlib.sha256(data).hexdigest()
    client.send(type="upload_image", id=1, size=len(data), mime="image/png", sha256=digest)
    assert client.channel is not None
    client.channel.send(data)
    await client.message("image_uploaded")
    client.send(type="set_prompt", id=2, prompt="snow falls")
    client.send(type="start", id=3, seed=5)
    await client.message("started")
    return client, {name: answer[name] for name in ("stream", "control_token")}


async def come_back(server: Server, known: dict[str, str]) -> tuple[Client, dict[str, Any]]:
    """Come back to a stream; gives the state that it is welcomed by."""
    client = Client()
    status, answer = await server.offer(client, **known)
    assert status == 200, answer
    assert answer["stream"] == known["stream"]
    client.send(type="hello", id=1, protocol=1)
    return client, (await client.message("welcome"))["state"]


async def seen(server: Server, client: Client, known: dict[str, str], frame: int) -> None:
    """Wait until so many frames of a stream were sent, and the client got some."""
    await look(server, known, lambda told: told is not None and told["frame"] >= frame)
    await client.wait(lambda: client.frames)


async def look(server: Server, known: dict[str, str], holds: Callable[[Any], bool]) -> None:
    """Look at a stream until this holds of what is told of it, None where there is none."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(120):
        while True:
            async with session.get(f"{server.url}/streams/{known['stream']}") as response:
                if holds(await response.json() if response.status == 200 else None):
                    return
            await asyncio.sleep(0.05)


def common(before: list[SentChunk], after: list[SentChunk]) -> list[tuple[SentChunk, SentChunk]]:
    """The chunks that both logs have, once it was seen that the second begins where the first can be left.

    That is at one of its chunks or at its end: nothing that was made and not sent is passed over.
    """
    told = {chunk.frame: chunk for chunk in before}
    end = before[-1].frame + before[-1].frames
    assert after[0].frame in told or after[0].frame == end
    assert after[-1].frame >= end
    pairs = [(told[chunk.frame], chunk) for chunk in after if chunk.frame in told]
    assert all(one.latent == other.latent for one, other in pairs)
    # A machine that is late moves a frame on by whole slots.
    assert all((one.pts - other.pts) % 5625 == 0 for one, other in pairs)
    assert after[0].pts >= after[0].frame * 5625
    return pairs


async def test_a_killed_servers_stream_goes_on(server: Server) -> None:
    """kill -9, start again: who comes back with the token finds the same stream, which goes on from a moment that was
    on the screen, or would have been next; numbers, timestamps and the model's latents are those of then."""
    await server.start()
    client, known = await begin(server)
    await seen(server, client, known, 40)
    await server.kill()
    await client.close()
    await server.start()
    client, state = await come_back(server, known)
    assert (state["state"], state["prompt"], state["mode"]) == ("live", "snow falls", "i2v")
    assert state["image"]["sha256"] == hashlib.sha256(picture()).hexdigest()
    assert state["frame"] > 16
    await seen(server, client, known, 80)
    client.send(type="stop", id=9)
    await client.message("stopped")
    await client.close()
    common(*server.chunks(known["stream"]))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_pockets_frames_are_the_same_bytes(server: Server) -> None:
    """What the server makes again after a kill -9, by the model that ships, is byte for byte what it was."""
    # A frame a latent is a rate that a busy machine can't lower, which would make other frames; the checkpoint is of
    # just after the last command, so that much is made between that and the end.
    server.arguments += ("model.width=96", "model.height=64", "model.steps=1", "model.fps=4", "stream.checkpoint_s=60")
    await server.start(module="server")
    client, known = await begin(server)
    await seen(server, client, known, 24)
    await server.kill()
    await client.close()
    await server.start(module="server")
    client, _ = await come_back(server, known)
    await seen(server, client, known, 36)
    await client.close()
    pairs = common(*server.chunks(known["stream"]))
    assert pairs
    assert all(one.sha256 == other.sha256 for one, other in pairs)


async def test_who_was_cut_off_comes_back(server: Server) -> None:
    """While the stream still runs it is the same one, live; after it ended since nobody was left it goes on."""
    await server.start("stream.director_grace_s=1.5")
    client, known = await begin(server)
    await seen(server, client, known, 16)
    await client.close()
    client, state = await come_back(server, known)
    assert state["state"] == "live"
    assert len(server.chunks(known["stream"])) == 1
    await seen(server, client, known, state["frame"] + 16)
    await client.close()
    await look(server, known, lambda told: told is None)
    client, state = await come_back(server, known)
    assert (state["state"], state["prompt"]) == ("live", "snow falls")
    await seen(server, client, known, state["frame"] + 32)
    client.send(type="stop", id=9)
    await client.message("stopped")
    await client.close()
    common(*server.chunks(known["stream"]))


async def test_another_models_stream_is_refused_in_words(server: Server) -> None:
    """Started again under other settings of the model it says so, and the client can have a fresh stream."""
    await server.start()
    client, known = await begin(server)
    await seen(server, client, known, 24)
    await server.kill()
    await client.close()
    await server.start("model.steps=3")
    client = Client()
    status, answer = await server.offer(client, **known)
    assert (status, answer["error"]["code"]) == (409, "wrong_state")
    assert "another model" in answer["error"]["message"]
    status, answer = await server.offer(client)
    assert (status, answer["stream"] != known["stream"]) == (200, True)
    await client.close()
