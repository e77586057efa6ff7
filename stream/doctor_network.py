"""The doctor on the network: ports, candidates, STUN, TURN, and a WebRTC connection from end to end."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import replace

import aioice.ice
from aiortc import RTCIceServer
from aiortc.rtcicetransport import connection_kwargs

from stream.access import is_loopback
from stream.addresses import LOOPBACK, bind
from stream.config import Config
from stream.errors import StreamError
from stream.finding import Finding
from stream.ice import configured_servers
from stream.network import Network, NetworkConnection, configured_network

OPEN_PORTS = "open server.udp_ports for UDP in the firewall, and forward them where there is a router"


def check_ports(config: Config, addresses: list[str] | None = None) -> list[Finding]:
    """Count the free UDP ports of the range, at each of this machine's addresses."""
    ports = configured_network(config.server).ports
    if ports is None:
        return [Finding("ok", "udp ports", "any; a firewall wants a range of them (server.udp_ports)")]
    text = f"{ports.start}-{ports.stop - 1}"
    if addresses is None:
        addresses = aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True) or [LOOPBACK]
    free = {address: sum(_is_free(address, port) for port in ports) for address in addresses}
    told = ", ".join(f"{count} of {len(ports)} free at {address}" for address, count in free.items())
    if not any(free.values()):
        return [Finding("fail", "udp ports", f"{text}: {told}", "name others: server.udp_ports=50000-50100")]
    least = min(free.values())
    wanted = config.stream.max_streams + config.stream.max_viewers
    if least < wanted:
        why = f"{text}: {told}; {least} peers can be there at once, fewer than the {wanted} streams and viewers allowed"
        return [Finding("warn", "udp ports", why, "a wider server.udp_ports, or fewer stream.max_viewers")]
    return [Finding("ok", "udp ports", f"{text}: {told}")]


def _is_free(address: str, port: int) -> bool:
    try:
        held = bind(address, range(port, port + 1))
    except OSError:
        return False
    if held is not None:
        held.close()
    return held is not None


async def check_candidates(config: Config) -> list[Finding]:
    """Gather as the server would, but for STUN and TURN."""
    connection = NetworkConnection(False, network=configured_network(config.server))
    try:
        await connection.gather_candidates()
        found = [candidate.host for candidate in connection.local_candidates]
    except StreamError as error:
        return [Finding("fail", "candidates", error.message, "a wider server.udp_ports")]
    finally:
        await connection.close()
    told = ", ".join(found) or "none"
    lacking = [outside for outside, _ in connection.network.public if outside not in found]
    if lacking:
        return [_unmapped(lacking, told)]
    if not found:
        return [Finding("fail", "candidates", "none: nobody can connect", "server.advertise_loopback=true")]
    if not is_loopback(config.server.host) and all(is_loopback(host) for host in found):
        return [Finding("fail", "candidates", f"{told}: nobody else can connect", "connect this machine to a network")]
    if is_loopback(config.server.host) or any(ipaddress.ip_address(host).is_global for host in found):
        return [Finding("ok", "candidates", told)]
    if connection.network.public or config.server.ice_servers:
        return [Finding("ok", "candidates", told)]
    fix = f"for others set server.public_ip and {OPEN_PORTS}; or set a TURN server: server.ice_servers"
    return [Finding("warn", "candidates", f"{told}: reached from this network alone", fix)]


def _unmapped(lacking: list[str], told: str) -> Finding:
    why = f"no address of this machine stands for {', '.join(lacking)}; it has {told}"
    return Finding("fail", "candidates", why, "name both sides: server.public_ip=PUBLIC/PRIVATE")


async def check_ice_servers(config: Config) -> list[Finding]:
    """Ask every STUN and TURN server that is configured, all at once."""
    servers = configured_servers(config.server).current()
    if not servers:
        return [Finding("ok", "ice servers", "none; on one network, or with server.public_ip, none is needed")]
    network = replace(configured_network(config.server), public=(), loopback=True)
    return list(await asyncio.gather(*(_check_server(server, network, config) for server in servers)))


async def _check_server(server: RTCIceServer, network: Network, config: Config) -> Finding:
    url = str(server.urls)
    subject = "turn" if url.startswith("turn") else "stun"
    options = connection_kwargs([server])
    if not options:
        why = f"{url}: this server's own peers can't use it, browsers can"
        return Finding("warn", subject, why, "name another one for them before it, as turn:HOST:PORT")
    connection = NetworkConnection(False, network=network, **options)
    try:
        await connection.gather_candidates()
        found = [candidate for candidate in connection.local_candidates if candidate.type != "host"]
    except StreamError as error:
        return Finding("fail", subject, f"{url}: {error.message}")
    finally:
        await connection.close()
    if not found:
        why = connection.failures[0] if connection.failures else "it gave no address"
        return Finding("fail", subject, f"{url}: {why}", "correct server.ice_servers, or the server that it names")
    if subject == "turn":
        return Finding("ok", subject, f"{url} relays at {found[0].host}")
    return _judge_reflexive(url, found[0].host, found[0].related_address or "", config)


def _judge_reflexive(url: str, outside: str, inside: str, config: Config) -> Finding:
    if outside == inside or config.server.public_ip:
        return Finding("ok", "stun", f"{url} sees this machine as {outside}")
    why = f"{url} sees this machine as {outside}: it stands behind NAT, and not every client gets through"
    fix = f"server.public_ip={outside} and {OPEN_PORTS}; or a TURN server"
    has_turn = any(entry.startswith("turn") for entry in config.server.ice_servers)
    return Finding("ok", "stun", why) if has_turn else Finding("warn", "stun", why, fix)


async def check_webrtc(play: Callable[[str], Awaitable[float]]) -> list[Finding]:
    """Let a client of our own watch a stream of ours in each codec; ``play`` gives the seconds to the first frame."""
    findings: list[Finding] = []
    for codec in ("H264", "VP8"):
        try:
            seconds = await play(codec)
        except (StreamError, TimeoutError, OSError) as error:
            why = f"{codec} did not arrive from this machine to itself ({error or type(error).__name__})"
            findings.append(Finding("fail", "webrtc", why, "let this machine's firewall pass UDP on loopback"))
        else:
            findings.append(Finding("ok", "webrtc", f"{codec} offered, answered and decoded in {seconds:.2f} s"))
    return findings
