"""Compose and run: configuration -> engine -> streams -> HTTP; the only file that knows all layers.

``python server.py [CONFIG.yaml] [key=value ...]``
"""

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.config import ModelConfig, WanConfig
from pipeline.factory import build as build_pipeline
from pipeline.interface import Pipeline, Progress

# A spawned engine process runs this file again, as ``__mp_main__``: what only the server needs is imported in
# the functions that need it, so that the process which holds the model does not carry the network stack too.
if TYPE_CHECKING:
    from aiohttp import web

    from stream.config import Config, ServerConfig
    from stream.engine import Engine
    from stream.nvenc import Encoders

VERSION = "0.1.0.dev0"
USAGE = """usage: python server.py [CONFIG.yaml] [section.key=value ...]

CONFIG.yaml holds what differs from the defaults; configs/pocket.yaml explains every key.
For example: python server.py server.port=9000
"""
ENDED, FAILED, MISUSED = 0, 1, 2
CONNECTIONS_END_S = 1.0
SHUTDOWN_S = 4.0

logger = logging.getLogger("vivant")

BuildPipeline = Callable[[ModelConfig, WanConfig, Progress], Pipeline[Any]]


def run(arguments: Sequence[str], build: BuildPipeline = build_pipeline) -> NoReturn:
    """Run the server as this process's whole purpose, and end the process with its status."""
    status = main(arguments, build)
    logging.shutdown()
    sys.stdout.flush()
    # A thread in the middle of loading a model can't be stopped, and an ordinary exit would wait for it.
    os._exit(status)


def main(arguments: Sequence[str], build: BuildPipeline = build_pipeline) -> int:
    """Run the server until SIGTERM or SIGINT; give the exit status: 0 ended, 1 could not run, 2 misused."""
    from stream.access import check_binding
    from stream.config import ConfigError

    if {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return ENDED
    try:
        config = configure(arguments)
        check_binding(config.server)
        tls = load_certificate(config.server)
    except ConfigError as error:
        return fail(str(error), MISUSED)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Theirs is a line for each address pair that is tried.
    for library in ("aioice", "aiortc"):
        logging.getLogger(library).setLevel(logging.WARNING)
    return asyncio.run(serve(config, tls, build))


def configure(arguments: Sequence[str]) -> "Config":
    """Read the command line: at most one file, then overrides. Raises ConfigError."""
    from stream.config import ConfigError, load

    files = [argument for argument in arguments if "=" not in argument]
    options = [argument for argument in arguments if argument.startswith("-")]
    if options:
        raise ConfigError(f"there is no option {options[0]}; values are key=value, as in server.port=9000")
    if len(files) > 1:
        raise ConfigError(f"one configuration file at most, got {' and '.join(files)}; values are key=value")
    return load(Path(files[0]) if files else None, [argument for argument in arguments if "=" in argument])


def load_certificate(server: "ServerConfig") -> ssl.SSLContext | None:
    """Load what the server shows to its clients, if TLS is configured. Raises ConfigError."""
    from stream.config import ConfigError

    if not server.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(server.tls_cert, server.tls_key)
    except OSError as error:
        raise ConfigError(f"server.tls_cert and server.tls_key do not make a pair: {error}") from error
    return context


def make_engine(config: "Config", build: BuildPipeline) -> "Engine":
    """Make the engine that the configuration names; nothing of the model is loaded before its start."""
    from stream.engine import ThreadEngine
    from stream.engine_process import ProcessEngine
    from stream.engine_ray import RayEngine, RaySettings

    chosen, make_model = config.engine, partial(build, config.model, config.wan)
    if chosen.kind == "ray":
        settings = RaySettings(chosen.ray_address, chosen.replicas, chosen.replica_gpus, chosen.checkpoint_chunks)
        return RayEngine(make_model, settings)
    return ThreadEngine(make_model) if chosen.kind == "thread" else ProcessEngine(make_model)


def make_app(
    config: "Config", engine: "Engine", encoders: "Encoders", capabilities: dict[str, Any]
) -> "web.Application":
    """Put the streams on the engine, and HTTP before the streams; ``capabilities`` is filled in once warm."""
    from stream.broadcast import Broadcast
    from stream.checkpoints import Checkpoints
    from stream.congestion import BitrateBounds
    from stream.metrics import Metrics
    from stream.registry import Streams
    from stream.session_log import SessionLogs
    from stream.signalling import Dependencies, build_app

    limits = config.stream
    bounds = BitrateBounds(
        limits.bitrate_kbps, limits.min_bitrate_kbps, limits.max_bitrate_kbps, limits.viewers_min_bitrate_kbps
    )

    def make_sink(stream_id: str, take_slot: Callable[[], int]) -> Broadcast:
        return Broadcast(stream_id, take_slot, engine.format.fps, bounds, encoders.create)

    def not_ready() -> str | None:
        if engine.ready and capabilities:
            return None
        what = "the model starts again after a failure" if capabilities else "the model is loading"
        return f"{what}: {engine.stage}" if engine.stage else what

    metrics = Metrics(lambda: streams, lambda: engine.busy_s)
    sessions = SessionLogs.of(limits, partial(describe_model, config, engine))
    checkpoints = Checkpoints.of(limits, partial(identify_model, config, engine))
    streams = Streams(engine, limits, make_sink, capabilities, metrics, sessions=sessions, checkpoints=checkpoints)
    return build_app(Dependencies(streams, capabilities, config.server, limits, metrics, not_ready))


def describe_model(config: "Config", engine: "Engine") -> dict[str, Any]:
    """Tell a session's log what makes its video: the model, its weights, its settings."""
    from pipeline.errors import ConfigError
    from pipeline.identity import fingerprints, settings_of, settings_sha256

    settings, video = settings_of(config.model, config.wan), engine.format
    try:
        weights = fingerprints(config.model, config.wan)
    except (ConfigError, OSError) as error:
        logger.warning("the weights can't be told from others in session logs: %s", error)
        weights = {}
    return {
        "vivant": VERSION,
        "model": engine.capabilities.model,
        "weights": weights,
        "config": settings,
        "config_sha256": settings_sha256(settings),
        "settled": list(engine.capabilities.settled),
        "format": {"width": video.width, "height": video.height, "fps": str(video.fps)},
    }


def identify_model(config: "Config", engine: "Engine") -> str:
    """Tell the model from others by a hash: what a stream was made by can go on under no other weights or settings."""
    from pipeline.identity import settings_sha256

    # What "auto" came to may be another thing at each start, and streams go on under it all the same.
    return settings_sha256({key: value for key, value in describe_model(config, engine).items() if key != "settled"})


async def serve(config: "Config", tls: ssl.SSLContext | None, build: BuildPipeline) -> int:
    """Serve until told to end; the page is there at once, the model when it is warm."""
    from aiohttp import web

    from stream.network import configured_network, use_network
    from stream.nvenc import Encoders

    use_network(configured_network(config.server))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = make_engine(config, build)
    capabilities: dict[str, Any] = {}
    encoders = Encoders(config.stream.encoder)
    app = make_app(config, engine, encoders, capabilities)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CONNECTIONS_END_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, config.server.host, config.server.port, ssl_context=tls).start()
        except OSError as error:
            return fail(explain_binding(config.server, error), FAILED)
        urls = describe_addresses(runner.addresses[0], secure=tls is not None)
        print(f"Vivant is at {' and, for others, at '.join(urls)}; it loads its model.", flush=True)
        return await work(config, engine, encoders, capabilities, stop, urls[0])
    finally:
        await shut_down(runner, engine)


async def work(
    config: "Config",
    engine: "Engine",
    encoders: "Encoders",
    capabilities: dict[str, Any],
    stop: asyncio.Event,
    url: str,
) -> int:
    """Warm the model up, then wait for the end; give the exit status."""
    from pipeline.errors import PipelineError
    from stream.capabilities import describe
    from stream.errors import StreamError
    from stream.nvenc import NvencUnusable

    engine.on_stage(lambda stage: print(f"Model: {stage}", flush=True))
    warming = asyncio.create_task(warm_up(engine, encoders), name="warm-up")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({warming, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if warming.done():
            warming.result()
            capabilities |= describe(engine.capabilities, engine.format, config.stream, VERSION, engine.is_resumable)
            print(f"Ready. Open {url}, drop a picture, press Start. Ctrl+C ends it.", flush=True)
            await stopping
        return ENDED
    except NvencUnusable as error:
        return fail(str(error), FAILED)
    except (PipelineError, StreamError) as error:
        return fail(f"the model can't be started: {error}", FAILED)
    finally:
        for task in (warming, stopping):
            task.cancel()
        await asyncio.gather(warming, stopping, return_exceptions=True)


async def warm_up(engine: "Engine", encoders: "Encoders") -> None:
    """Start the engine, and meanwhile find out what encodes."""
    from stream.nvenc import has_gpu

    starting = asyncio.create_task(engine.start(), name="engine-start")
    try:
        await asyncio.to_thread(encoders.probe, has_gpu())
        await starting
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)


async def shut_down(runner: "web.AppRunner", engine: "Engine") -> None:
    """Say goodbye to every client, end the streams, then the engine; within :data:`SHUTDOWN_S` seconds."""
    try:
        async with asyncio.timeout(SHUTDOWN_S):
            await runner.cleanup()
            await engine.close()
    except TimeoutError:
        logger.warning("not everything ended within %s s; it ends with the process", SHUTDOWN_S)


def describe_addresses(address: tuple[Any, ...], secure: bool) -> list[str]:
    """Give the URL to open here; of a server on every interface, that for other machines too.

    >>> describe_addresses(("::1", 8080, 0, 0), secure=True)
    ['https://[::1]:8080']
    """
    from stream.addresses import outgoing_address

    scheme = "https" if secure else "http"
    host, port = address[0], address[1]
    everywhere = host in ("0.0.0.0", "::")
    hosts = ["127.0.0.1", outgoing_address()] if everywhere else [f"[{host}]" if ":" in host else host]
    return [f"{scheme}://{host}:{port}" for host in hosts if host]


def explain_binding(server: "ServerConfig", error: OSError) -> str:
    """Say why the server can't listen, and what to do."""
    where = f"{server.host} port {server.port}"
    if isinstance(error, socket.gaierror):
        return f"can't listen on {where}: there is no such address; see server.host"
    return f"can't listen on {where}: {error.strerror or error}; another port: server.port={server.port + 1}"


def fail(message: str, status: int) -> int:
    """Say in one line what is wrong; give the status back."""
    print(f"server.py: {message}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    run(sys.argv[1:])
