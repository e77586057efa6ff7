"""What keeps Vivant from working here, and what to do: ``python -m stream.doctor [CONFIG.yaml] [key=value ...]``.

A line for each thing that it looks at: ``ok``, ``warn`` or ``fail``. With ``--json`` a list of objects instead.
"""

import asyncio
import dataclasses
import json
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from stream.config import Config, ConfigError, load
from stream.doctor_host import check_certificate, check_http, check_packages
from stream.doctor_network import check_candidates, check_ice_servers, check_ports, check_webrtc
from stream.doctor_video import check_codecs, check_gpu, check_weights, play
from stream.finding import Finding
from stream.network import Network, use_network

USAGE = """usage: python -m stream.doctor [CONFIG.yaml] [section.key=value ...] [--json]

Looks at what the server would meet with this configuration, given as to server.py: ports, certificate, addresses,
STUN, TURN, codecs, GPU, weights. Ends with 1 where something fails, 0 where all is well or worth a warning.
"""
WELL, FAILED, MISUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; gives the exit status: 0 nothing fails, 1 something does, 2 misused."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(given):
        print(USAGE, end="")
        return WELL
    as_json = "--json" in given
    rest = [argument for argument in given if argument != "--json"]
    files = [argument for argument in rest if "=" not in argument]
    unknown = [argument for argument in rest if argument.startswith("-")]
    if unknown or len(files) > 1:
        print(USAGE, end="", file=sys.stderr)
        return MISUSED
    # What it says of them stands in the findings.
    logging.basicConfig(level=logging.CRITICAL)
    path = Path(files[0]) if files else None
    return asyncio.run(_report(path, [argument for argument in rest if "=" in argument], as_json))


async def _report(path: Path | None, overrides: Sequence[str], as_json: bool) -> int:
    findings: list[Finding] = []
    async for finding in examine(path, overrides):
        findings.append(finding)
        if not as_json:
            print(finding, flush=True)
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
    return FAILED if any(finding.verdict == "fail" for finding in findings) else WELL


async def examine(path: Path | None, overrides: Sequence[str]) -> AsyncIterator[Finding]:
    """Give what is found, as it is found; without a configuration that can be read, what does not need one."""
    for finding in (*check_packages(), *check_codecs()):
        yield finding
    try:
        config = load(path, overrides)
    except ConfigError as error:
        fix = "correct it; configs/pocket.yaml explains every key"
        yield Finding("fail", "configuration", str(error), fix)
        return
    yield Finding("ok", "configuration", str(path) if path else "the defaults")
    async for finding in _examine(config):
        yield finding


async def _examine(config: Config) -> AsyncIterator[Finding]:
    for finding in (*await check_http(config.server), *check_certificate(config.server), *check_ports(config)):
        yield finding
    for finding in await check_candidates(config):
        yield finding
    for finding in await check_ice_servers(config):
        yield finding
    # From this machine to itself, whatever ports and addresses others are offered: these were looked at.
    use_network(Network(loopback=True))
    for finding in await check_webrtc(play):
        yield finding
    for finding in (*await check_gpu(config), *check_weights(config)):
        yield finding


if __name__ == "__main__":
    sys.exit(main())
