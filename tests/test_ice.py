"""Addresses: loopback only where the configuration says so, outside servers only where it names them."""

from collections.abc import Iterator

import aioice.ice
import pytest
from aioice import Connection
from aiortc.rtcconfiguration import RTCBundlePolicy

from stream.ice import LOOPBACK, advertise_loopback, connection_configuration


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Begin and end without the hook, whatever other tests left."""
    advertise_loopback(False)
    yield
    advertise_loopback(False)


async def gathered() -> list[str]:
    """The addresses that a new connection offers."""
    connection = Connection(ice_controlling=False)
    await connection.gather_candidates()
    hosts = [candidate.host for candidate in connection.local_candidates]
    await connection.close()
    return hosts


async def test_loopback_is_offered_beside_the_other_addresses() -> None:
    """Switched on it is one address more, once, however often; switched off it is as before."""
    before = await gathered()
    assert LOOPBACK not in before
    advertise_loopback(True)
    advertise_loopback(True)
    assert await gathered() == [*before, LOOPBACK]
    advertise_loopback(False)
    assert await gathered() == before


async def test_ipv6_alone_gets_no_ipv4_address() -> None:
    """The hook keeps to the families asked for."""
    advertise_loopback(True)
    assert LOOPBACK not in aioice.ice.get_host_addresses(use_ipv4=False, use_ipv6=True)


def test_no_server_means_no_server() -> None:
    """An empty list stays empty, so that no public server is asked."""
    configuration = connection_configuration([])
    assert configuration.iceServers == []
    assert configuration.bundlePolicy is RTCBundlePolicy.MAX_BUNDLE


def test_servers_carry_their_credentials() -> None:
    """STUN is a plain URL; TURN may name user and password before the host."""
    urls = ["stun:stun.example:3478", "turn:me:p@:ss@turn.example:3478?transport=udp"]
    stun, turn = connection_configuration(urls).iceServers or []
    assert (stun.urls, stun.username) == (urls[0], None)
    assert (turn.urls, turn.username, turn.credential) == (
        "turn:turn.example:3478?transport=udp",
        "me",
        "p@:ss",
    )
