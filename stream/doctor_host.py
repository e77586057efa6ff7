"""The doctor on this machine: Python, packages, the HTTP port, the certificate."""

import asyncio
import contextlib
import errno
import re
import socket
import ssl
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import aiohttp
from cryptography import x509

from stream.access import check_binding, is_loopback
from stream.config import ConfigError, ServerConfig
from stream.finding import Finding

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
INSTALL = "pip install -e ."
SOON = timedelta(days=14)
ASK_S = 3.0


def check_packages(pyproject: Path = PYPROJECT) -> list[Finding]:
    """Compare Python and the packages with what ``pyproject.toml`` asks for."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    python = ".".join(map(str, sys.version_info[:3]))
    findings = [Finding("ok", "python", python)]
    if not satisfies(python, project["requires-python"]):
        wanted = project["requires-python"]
        findings = [Finding("fail", "python", f"{python}, and {wanted} is needed", "make run PYTHON=python3.12")]
    wrong = list(_wrong_packages(project["dependencies"]))
    if wrong:
        return [*findings, Finding("fail", "packages", "; ".join(wrong), INSTALL)]
    named = ", ".join(f"{name} {version(name)}" for name in ("aiortc", "aioice", "av", "aiohttp", "torch"))
    return [*findings, Finding("ok", "packages", f"all {len(project['dependencies'])} as asked for; {named}")]


def _wrong_packages(requirements: list[str]) -> Iterator[str]:
    for requirement in requirements:
        name, specifiers = re.split(r"(?=[<>=!~])", requirement, maxsplit=1)
        try:
            installed = version(name)
        except PackageNotFoundError:
            yield f"{name} is not installed"
            continue
        if not satisfies(installed, specifiers):
            yield f"{name} is {installed}, and {specifiers} is needed"


def satisfies(installed: str, specifiers: str) -> bool:
    """Tell whether a version is one that is asked for; knows the ``>=`` and ``<`` that this project writes.

    >>> satisfies("2.13.0+cpu", ">=2.11,<2.14"), satisfies("0.9.1", ">=0.12,<1")
    (True, False)
    """
    have = _numbers(installed)
    for specifier in specifiers.split(","):
        if specifier.startswith(">=") and have < _numbers(specifier[2:]):
            return False
        if specifier.startswith("<") and have >= _numbers(specifier[1:]):
            return False
    return True


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"[\d.]*", text.strip())
    return tuple(int(part) for part in found[0].split(".") if part) if found else ()


async def check_http(server: ServerConfig) -> list[Finding]:
    """Look whether the server could listen, or listens already, and who could then use it."""
    try:
        check_binding(server)
    except ConfigError as error:
        return [Finding("fail", "http", *_halves(str(error)))]
    where = f"{server.host} port {server.port}"
    try:
        family = await asyncio.get_running_loop().getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        with socket.create_server(family[0][4][:2], family=family[0][0]):
            return [Finding("ok", "http", f"{where} is free")]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return [await _who_is_there(server, where)]
        if error.errno == errno.EACCES:
            return [Finding("fail", "http", f"{where} is only for root", "server.port=8080, or a port above 1023")]
        why = f"{where}: {error.strerror or error}"
        return [Finding("fail", "http", why, "name an address of this machine: server.host")]


async def _who_is_there(server: ServerConfig, where: str) -> Finding:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    place = f"[{host}]" if ":" in host else host
    url = f"{'https' if server.tls_cert else 'http'}://{place}:{server.port}/healthz"
    timeout = aiohttp.ClientTimeout(total=ASK_S)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
        # Who it is stands in its answer; the certificate has a check of its own.
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=False) as response:
            if await response.json() == {"alive": True}:
                return Finding("ok", "http", f"{where}: Vivant is running there already")
    return Finding("fail", "http", f"{where} is taken by another program", f"server.port={server.port + 1}")


def check_certificate(server: ServerConfig, now: datetime | None = None) -> list[Finding]:
    """Look whether certificate and key are readable, belong together, and hold today."""
    if not server.tls_cert:
        if is_loopback(server.host):
            return [Finding("ok", "tls", "none, and on this machine alone none is needed")]
        why = (
            "none: what is sent by http can be read on its way, and browsers keep camera and clipboard from such pages"
        )
        return [Finding("warn", "tls", why, "server.tls_cert=FILE server.tls_key=FILE, or a reverse proxy with https")]
    try:
        # An encrypted key must not ask at a terminal; the server could not either.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.tls_cert, server.tls_key, lambda: "")
        certificate = x509.load_pem_x509_certificate(Path(server.tls_cert).read_bytes())
    except (OSError, ValueError) as error:
        why = f"{server.tls_cert} and {server.tls_key} do not make a pair ({error})"
        return [Finding("fail", "tls", why, "name the PEM files of the certificate chain and of its unencrypted key")]
    return [_judge_dates(certificate, now or datetime.now(UTC))]


def _judge_dates(certificate: x509.Certificate, now: datetime) -> Finding:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    names = f"for {', '.join(_names(certificate)) or 'no name'}, until {ends:%Y-%m-%d}"
    if ends <= now:
        return Finding("fail", "tls", f"the certificate ended on {ends:%Y-%m-%d}", "renew it")
    if begins > now:
        return Finding("fail", "tls", f"the certificate begins on {begins:%Y-%m-%d}", "set this machine's clock")
    if ends - now < SOON:
        return Finding("warn", "tls", f"{names}, which is soon", "renew it")
    return Finding("ok", "tls", names)


def _names(certificate: x509.Certificate) -> list[str]:
    with contextlib.suppress(x509.ExtensionNotFound):
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [str(name.value) for name in extension]
    return []


def _halves(sentence: str) -> tuple[str, str]:
    found, _, fix = sentence.partition(": ")
    return found, fix
