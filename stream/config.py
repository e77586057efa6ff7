"""What may be set, with defaults and bounds; ``configs/pocket.yaml`` is the manual for people."""

from collections.abc import Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline import settings
from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError as ConfigError
from pipeline.settings import ranged
from stream.addresses import parse_ice_server, parse_ports, parse_public

EncoderChoice = Literal["auto", "x264", "nvenc"]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the HTTP server listens and who may talk to it."""

    host: str = "127.0.0.1"
    port: int = ranged(8080, 0, 65_535)
    access_token: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    allow_insecure: bool = False
    allowed_hosts: list[str] = field(default_factory=list[str])
    allowed_origins: list[str] = field(default_factory=list[str])
    public_ip: str = ""
    udp_ports: str = ""
    ice_servers: list[str] = field(default_factory=list[str])
    turn_secret: str = ""
    turn_ttl_s: int = ranged(86_400, 60, 31_536_000)
    advertise_loopback: bool = True


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """Limits and timing of each stream; seconds, bytes, kilobits per second."""

    max_streams: int = ranged(8, 1, 1000)
    max_viewers: int = ranged(100, 0, 10_000)
    encoder: EncoderChoice = "auto"
    bitrate_kbps: int = ranged(2500, 100, 50_000)
    min_bitrate_kbps: int = ranged(300, 100, 50_000)
    max_bitrate_kbps: int = ranged(4000, 100, 50_000)
    viewers_min_bitrate_kbps: int = ranged(1000, 100, 50_000)
    latency: Literal["low", "smooth"] = "low"
    low_buffer_s: float = ranged(0.12, 0.0, 5.0)
    smooth_buffer_s: float = ranged(1.0, 0.0, 10.0)
    resume_folder: str = "auto"
    resume_s: float = ranged(600.0, 1.0, 31_536_000.0)
    resume_bytes: int = ranged(536_870_912, 1_048_576, 10**15)
    checkpoint_s: float = ranged(5.0, 0.1, 3600.0)
    director_grace_s: float = ranged(30.0, 0.0, 86_400.0)
    unwatched_s: float = ranged(600.0, 0.0, 31_536_000.0)
    handshake_timeout_s: float = ranged(10.0, 1.0, 120.0)
    prompt_chars: int = ranged(2000, 1, 16_000)
    image_bytes: int = ranged(10_485_760, 1024, 104_857_600)
    image_pixels: int = ranged(40_000_000, 4096, 400_000_000)
    upload_timeout_s: float = ranged(10.0, 0.1, 600.0)
    publish_private: bool = False
    bookmarks: int = ranged(8, 0, 1000)
    recordings: str = "~/.local/share/vivant/recordings"
    recording_s: float = ranged(3600.0, 1.0, 86_400.0)
    recordings_bytes: int = ranged(10_737_418_240, 1_048_576, 10**15)
    session_logs: str = ""
    session_logs_bytes: int = ranged(1_073_741_824, 1_048_576, 10**15)
    session_logs_count: int = ranged(1000, 1, 1_000_000)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Where generation runs: a process of its own, a thread of the server's, or actors of a Ray cluster."""

    kind: Literal["process", "thread", "ray"] = "process"
    ray_address: str = ""
    replicas: int = ranged(0, 0, 256)
    replica_gpus: float = ranged(1.0, 0.0, 16.0)
    checkpoint_chunks: int = ranged(4, 1, 1000)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that may be set, by section."""

    server: ServerConfig = field(default_factory=ServerConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    wan: WanConfig = field(default_factory=WanConfig)


def keys() -> dict[str, Field[Any]]:
    """Give every key that may be set, dotted, with the dataclass field behind it.

    >>> [key for key in keys() if key.startswith("engine.")]
    ['engine.kind', 'engine.ray_address', 'engine.replicas', 'engine.replica_gpus', 'engine.checkpoint_chunks']
    """
    return settings.keys(Config)


def load(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Merge the defaults, the file and the ``section.key=value`` overrides, later ones winning.

    Raises ConfigError as :func:`pipeline.settings.load` does, and for settings that contradict each other.
    """
    config = settings.load(Config, path, overrides)
    _check_together(config)
    return config


def _check_together(config: Config) -> None:
    stream, server = config.stream, config.server
    if not stream.min_bitrate_kbps <= stream.bitrate_kbps <= stream.max_bitrate_kbps:
        raise ConfigError(
            f"stream.bitrate_kbps: {stream.bitrate_kbps} must lie between stream.min_bitrate_kbps "
            f"({stream.min_bitrate_kbps}) and stream.max_bitrate_kbps ({stream.max_bitrate_kbps})"
        )
    if bool(server.tls_cert) != bool(server.tls_key):
        raise ConfigError("server.tls_cert and server.tls_key go together: set both, or neither")
    for key, name in (("tls_cert", server.tls_cert), ("tls_key", server.tls_key)):
        if name and not Path(name).is_file():
            raise ConfigError(f"server.{key}: there is no file {name}")
    _check_network(server)
    if not server.host:
        raise ConfigError("server.host: empty; 127.0.0.1 for this machine alone, 0.0.0.0 for every interface")


def _check_network(server: ServerConfig) -> None:
    for key, parse in (("public_ip", parse_public), ("udp_ports", parse_ports)):
        try:
            parse(getattr(server, key))
        except ValueError as error:
            raise ConfigError(f"server.{key}: {error}") from error
    for entry in server.ice_servers:
        try:
            url, user, _ = parse_ice_server(entry)
        except ValueError as error:
            raise ConfigError(f"server.ice_servers: {error}") from error
        if url.startswith("turn") and not user and not server.turn_secret:
            raise ConfigError(
                f"server.ice_servers: {url} needs credentials: server.turn_secret, or USER:PASSWORD@ before its host"
            )
