"""The doctor on the network: what clients would meet, and what to set."""

import aioice.ice
import pytest

from stream.addresses import LOOPBACK, bind
from stream.config import Config, ServerConfig, StreamConfig
from stream.doctor_network import check_candidates, check_ice_servers, check_ports, check_webrtc
from stream.doctor_video import play
from stream.finding import Finding
from stream.network import Network, use_network
from tests.test_network import HOST, StunServer, free_ports, running


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def config(**server: object) -> Config:
    return Config(server=ServerConfig(**server), stream=StreamConfig(max_viewers=1, max_streams=1))  # pyright: ignore


def on(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Give this machine these addresses."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(addresses))


def test_free_ports_are_counted() -> None:
    """All free, some taken and too few left, none left."""
    ports = free_ports(3)
    there = config(udp_ports=f"{ports[0]}-{ports[-1]}")
    finding = only(check_ports(there, [LOOPBACK]))
    assert (finding.verdict, f"3 of 3 free at {LOOPBACK}" in finding.found) == ("ok", True)
    held = [bind(LOOPBACK, ports) for _ in range(2)]
    finding = only(check_ports(there, [LOOPBACK]))
    assert (finding.verdict, "fewer than the 2" in finding.found) == ("warn", True)
    held.append(bind(LOOPBACK, ports))
    finding = only(check_ports(there, [LOOPBACK]))
    assert (finding.verdict, finding.fix) == ("fail", "name others: server.udp_ports=50000-50100")
    for one in held:
        assert one is not None
        one.close()


def test_any_port_is_well() -> None:
    """Without a range there is nothing to count."""
    assert only(check_ports(config())).verdict == "ok"


@pytest.mark.parametrize(
    ("server", "addresses", "verdict", "says"),
    [
        ({}, ("127.0.0.2",), "ok", "127.0.0.2, 127.0.0.1"),
        ({"host": "0.0.0.0"}, ("127.0.0.2",), "fail", "nobody else can connect"),
        ({"advertise_loopback": False}, (), "fail", "none: nobody can connect"),
        ({"public_ip": HOST + "/10.9.9.9"}, ("127.0.0.2",), "fail", f"no address of this machine stands for {HOST}"),
        ({"public_ip": HOST + "/127.0.0.2", "host": "0.0.0.0"}, ("127.0.0.2",), "ok", HOST),
    ],
)
async def test_candidates_are_judged_by_who_can_reach_them(
    server: dict[str, object], addresses: tuple[str, ...], verdict: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By nobody, this machine, this network, everyone."""
    on(monkeypatch, *addresses)
    finding = only(await check_candidates(config(**server)))
    assert (finding.verdict, says in finding.found) == (verdict, True), finding


async def test_private_addresses_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a server of others that has no public address and no TURN, with what to set."""
    on(monkeypatch, "127.0.0.2")
    monkeypatch.setattr("stream.doctor_network.is_loopback", lambda host: host == LOOPBACK)
    finding = only(await check_candidates(config(host="0.0.0.0")))
    assert (finding.verdict, "this network alone" in finding.found) == ("warn", True)
    for key in ("server.public_ip", "server.udp_ports", "server.ice_servers"):
        assert key in finding.fix
    assert only(await check_candidates(config(host="0.0.0.0", ice_servers=["stun:a.invalid"]))).verdict == "ok"


async def test_stun_tells_how_others_see_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address than its own means NAT, a warning unless the configuration knows of it."""
    on(monkeypatch, "127.0.0.2")
    async with running(StunServer(None, (HOST, 4321))) as (host, port):
        url = f"stun:{host}:{port}"
        finding = only(await check_ice_servers(config(ice_servers=[url])))
        assert (finding.verdict, f"sees this machine as {HOST}" in finding.found) == ("warn", True)
        assert f"server.public_ip={HOST}" in finding.fix
        known = config(ice_servers=[url], public_ip=f"{HOST}/127.0.0.2")
        assert only(await check_ice_servers(known)).verdict == "ok"


async def test_a_server_that_refuses_fails_with_the_reason() -> None:
    """TURN with the wrong secret is told apart, and each server has a line."""
    async with running(StunServer((401, "Unauthorized"))) as (host, port):
        urls = [f"turn:{host}:{port}", "stun:stun.invalid", "turns:a.invalid?transport=udp"]
        turn, stun, unusable = await check_ice_servers(config(ice_servers=urls, turn_secret="wrong"))
    assert (turn.verdict, "refused the credentials (401 Unauthorized)" in turn.found) == ("fail", True)
    assert (stun.verdict, "can't be resolved" in stun.found) == ("fail", True)
    assert (unusable.verdict, "browsers can" in unusable.found) == ("warn", True)


async def test_no_servers_are_well() -> None:
    """On one network none is needed."""
    assert only(await check_ice_servers(config())).verdict == "ok"


async def test_a_stream_from_this_machine_to_itself() -> None:
    """Both codecs are offered, answered, encoded, sent and decoded."""
    use_network(Network(loopback=True))
    assert [finding.verdict for finding in await check_webrtc(play)] == ["ok", "ok"]


async def test_a_stream_that_does_not_arrive_fails() -> None:
    """Each codec by itself."""

    async def nothing(codec: str) -> float:
        if codec == "VP8":
            return 0.1
        raise TimeoutError

    first, second = await check_webrtc(nothing)
    assert (first.verdict, "H264 did not arrive" in first.found, second.verdict) == ("fail", True, "ok")
