"""STUN and TURN: outside servers only where the configuration names them, credentials that end."""

import base64
import subprocess

import pytest
from aiortc import RTCPeerConnection
from aiortc.rtcconfiguration import RTCBundlePolicy

from stream.config import ServerConfig
from stream.ice import (
    IceServers,
    configured_servers,
    connection_configuration,
    ice_connections,
    read_ice_servers,
    turn_password,
    use_servers,
)
from tests.real_site import RealSite

TURN = "turn:turn.example:3478?transport=udp"


def test_no_server_means_no_server() -> None:
    """An empty list stays empty, so that no public server is asked."""
    configuration = IceServers().configuration()
    assert configuration.iceServers == []
    assert configuration.bundlePolicy is RTCBundlePolicy.MAX_BUNDLE


def test_servers_carry_their_credentials() -> None:
    """STUN is a plain URL; TURN may name user and password before the host."""
    urls = ("stun:stun.example:3478", "turn:me:p@:ss@turn.example:3478?transport=udp")
    stun, turn = IceServers(urls, secret="unused").current()
    assert (stun.urls, stun.username) == (urls[0], None)
    assert (turn.urls, turn.username, turn.credential) == (TURN, "me", "p@:ss")


def test_credentials_from_a_secret_end_and_are_made_anew() -> None:
    """The user name begins with the second when it ends; the password is its HMAC, as OpenSSL makes it too."""
    now_s = iter([1000.9, 1001.0])
    servers = IceServers((TURN,), "south", 600, lambda: next(now_s))
    first, second = servers.current()[0], servers.current()[0]
    assert first.username is not None
    assert second.username is not None
    assert (first.username[:5], second.username[:5]) == ("1600:", "1601:")
    assert first.credential != second.credential
    command = ["openssl", "dgst", "-sha1", "-hmac", "south", "-binary"]
    try:
        digest = subprocess.run(command, input=first.username.encode(), capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("no openssl to compare with; the doctest of turn_password holds one value of it")
    assert first.credential == base64.b64encode(digest).decode() == turn_password(first.username, "south")


def test_a_client_reads_what_the_server_tells() -> None:
    """What is described comes back as it was; what is of another shape is left out."""
    servers = IceServers(("stun:stun.example", "turn:me:secret@turn.example"))
    assert read_ice_servers(servers.describe()) == servers.current()
    assert read_ice_servers({"urls": "stun:a"}) == read_ice_servers([{}, 3, {"urls": 4}]) == []


async def test_a_connection_takes_servers_after_it_was_made() -> None:
    """Every transport of it asks them: aiortc makes them before the servers are known."""
    connection = RTCPeerConnection(connection_configuration([]))
    connection.addTransceiver("video", direction="recvonly")
    connection.createDataChannel("control")
    use_servers(connection, IceServers(("stun:stun.example", "turn:me:secret@turn.example:99?transport=tcp")).current())
    found = ice_connections(connection)
    assert found
    for ice in found:
        assert ice.stun_server == ("stun.example", 3478)
        assert (ice.turn_server, ice.turn_transport) == (("turn.example", 99), "tcp")
        assert (ice.turn_username, ice.turn_password) == ("me", "secret")
    await connection.close()


async def test_who_may_direct_is_told_of_the_servers() -> None:
    """``GET /ice_servers`` gives them with fresh credentials, to holders of the access token alone."""
    config = ServerConfig(ice_servers=["stun:stun.example", TURN], turn_secret="north", turn_ttl_s=60, access_token="s")
    async with RealSite(config) as site:
        status, body = await site.ask("GET", "/ice_servers", headers={"Authorization": "Bearer s"})
        assert (status, body["ttl_s"]) == (200, 60)
        stun, turn = body["ice_servers"]
        assert stun == {"urls": "stun:stun.example"}
        assert (turn["urls"], turn["credential"]) == (TURN, turn_password(turn["username"], "north"))
        status, error = await site.ask("GET", "/ice_servers")
        assert (status, error["code"]) == (401, "unauthorized")


def test_the_configuration_is_taken_whole() -> None:
    """Servers, secret and time are the configuration's."""
    servers = configured_servers(ServerConfig(ice_servers=[TURN], turn_secret="x", turn_ttl_s=77))
    assert (servers.urls, servers.secret, servers.ttl_s) == ((TURN,), "x", 77)
