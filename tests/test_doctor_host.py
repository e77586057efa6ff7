"""The doctor on this machine: what is missing, taken or expired is said with what to do."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stream.config import ServerConfig
from stream.doctor_host import check_certificate, check_http, check_packages, satisfies
from stream.finding import Finding
from tests.certificate import make_certificate
from tests.site import Site


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.mark.parametrize(
    ("installed", "specifiers", "fits"),
    [
        ("3.11.7", ">=3.11", True),
        ("3.10.14", ">=3.11", False),
        ("1.16.0", ">=1.16,<2", True),
        ("2.0.0", ">=1.16,<2", False),
        ("2.4.0.dev1", ">=2.4,<3", True),
        ("0.9", ">=0.12,<1", False),
    ],
)
def test_versions_are_compared_as_numbers(installed: str, specifiers: str, fits: bool) -> None:
    """Part by part, whatever stands after the numbers."""
    assert satisfies(installed, specifiers) is fits


def test_this_machine_has_what_the_project_asks_for() -> None:
    """Two lines, both ok, with the versions that matter."""
    python, packages = check_packages()
    assert (python.verdict, packages.verdict) == ("ok", "ok")
    assert "aiortc 1." in packages.found


def test_what_is_missing_or_too_old_is_named(tmp_path: Path) -> None:
    """Each package by its name, with what is needed, and Python too."""
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nrequires-python = ">=4"\ndependencies = ["aiohttp>=900,<901", "nosuch>=1,<2"]\n')
    python, packages = check_packages(path)
    assert python.verdict == packages.verdict == "fail"
    assert ">=4 is needed" in python.found
    assert "aiohttp is 3." in packages.found
    assert "nosuch is not installed" in packages.found
    assert packages.fix == "pip install -e ."


async def test_a_free_port_is_free() -> None:
    """It can be bound, and is free again afterwards."""
    for _ in range(2):
        assert only(await check_http(ServerConfig(port=0))).verdict == "ok"


async def test_a_port_of_another_program_is_taken() -> None:
    """It says so and names the next one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        other.close()
    app = web.Application()
    async with TestServer(app, port=port) as running:
        finding = only(await check_http(ServerConfig(port=running.port or 0)))
    assert (finding.verdict, finding.fix) == ("fail", f"server.port={port + 1}")
    assert "taken by another program" in finding.found


async def test_a_running_vivant_is_well() -> None:
    """A port that our own server holds is no failure."""
    async with Site(ServerConfig()).http as http:
        finding = only(await check_http(ServerConfig(port=http.server.port or 0)))
    assert (finding.verdict, "Vivant is running" in finding.found) == ("ok", True)


@pytest.mark.parametrize(
    ("host", "says"), [("192.0.2.77", "192.0.2.77 port 0"), ("nosuch.invalid", "nosuch.invalid port 0")]
)
async def test_an_address_that_is_not_ours_fails(host: str, says: str) -> None:
    """It can't be listened on: the name of the setting is said."""
    finding = only(await check_http(ServerConfig(host=host, port=0, allow_insecure=True)))
    assert (finding.verdict, says in finding.found, "server.host" in finding.fix) == ("fail", True, True)


async def test_a_server_that_would_refuse_to_open_itself_fails() -> None:
    """With every way out in the fix."""
    finding = only(await check_http(ServerConfig(host="0.0.0.0", port=0)))
    assert finding.verdict == "fail"
    assert "server.access_token=SECRET" in finding.fix


@pytest.mark.parametrize(
    ("days", "verdict", "says"),
    [(90, "ok", "for 203.0.113.7, until "), (10, "warn", "which is soon"), (-1, "fail", "the certificate ended on ")],
)
def test_a_certificate_is_judged_by_its_dates(tmp_path: Path, days: int, verdict: str, says: str) -> None:
    """Good, soon to end, ended; its names are told."""
    certificate, key = make_certificate(tmp_path, "203.0.113.7", days)
    finding = only(check_certificate(ServerConfig(tls_cert=str(certificate), tls_key=str(key))))
    assert (finding.verdict, says in finding.found) == (verdict, True), finding


def test_a_certificate_of_tomorrow_fails(tmp_path: Path) -> None:
    """Most likely this machine's clock is wrong."""
    certificate, key = make_certificate(tmp_path)
    config = ServerConfig(tls_cert=str(certificate), tls_key=str(key))
    finding = only(check_certificate(config, datetime.now(UTC) - timedelta(days=30)))
    assert (finding.verdict, "clock" in finding.fix) == ("fail", True)


def test_files_that_make_no_pair_fail(tmp_path: Path) -> None:
    """A key of another certificate, a file that is no PEM, one that is not there."""
    certificate, _ = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path, name="other")
    (tmp_path / "text").write_text("nothing")
    for key in (other, tmp_path / "text", tmp_path / "nowhere"):
        finding = only(check_certificate(ServerConfig(tls_cert=str(certificate), tls_key=str(key))))
        assert (finding.verdict, "do not make a pair" in finding.found) == ("fail", True)


def test_without_tls_others_are_warned_of() -> None:
    """On this machine alone nothing is missing; beyond it the page has no secure context."""
    assert only(check_certificate(ServerConfig())).verdict == "ok"
    finding = only(check_certificate(ServerConfig(host="0.0.0.0")))
    assert (finding.verdict, "camera" in finding.found, "server.tls_cert" in finding.fix) == ("warn", True, True)
