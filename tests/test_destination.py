"""Where a stream may be published to, and where not."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from stream.destination import AddressRule, is_public, read_destination
from stream.errors import StreamError
from stream.whip_client import WhipClient

PUBLIC = "93.184.215.14"
INSIDE = (
    "127.0.0.1 127.8.9.1 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 "
    "100.64.0.1 100.100.100.200 192.0.0.192 168.63.129.16 224.0.0.1 239.1.1.1 240.0.0.1 "
    "255.255.255.255 198.18.0.1 ::1 :: fe80::1 fc00::1 fd00:ec2::254 fec0::1 ff02::1 ::ffff:10.0.0.1 "
    "::ffff:169.254.169.254 64:ff9b::7f00:1 2002:7f00:1:: 2002:a00:1:: 2001:db8::1 2001::1 "
)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "file:/etc/passwd",
        "/etc/passwd",
        "tee:http://example.org/|/tmp/x",
        "tee://example.org/",
        "concat:http://example.org/a|/etc/passwd",
        "http:example.org",
        "ftp://example.org/",
        "gopher://example.org/",
        "rtmpt://example.org/app/key",
        "udp://example.org:9",
        "async:rtmp://example.org/a/b",
        "rtmp,rtmp_app,x,://example.org/a/b",
        "",
        "https://",
        "https:///path",
        "https://example.org:99999/",
        "https://user:secret@example.org/",
        "https://example.org/a b",
        "https://example.org/\n",
        "https://example.org\\@127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://example.0x1/",
        "http://[::1/",
        "https://" + "a" * 3000 + ".org/",
        None,
        7,
        ["https://example.org"],
    ],
)
def test_what_is_no_destination(url: object) -> None:
    """Other schemes, FFmpeg's protocols of protocols, hosts that programs read differently, secrets in the URL."""
    with pytest.raises(StreamError, match="url") as refused:
        read_destination(url)
    assert refused.value.code == "bad_message"


def test_a_destination_is_told_of_without_its_secrets() -> None:
    """Path, query and user are what a stream key may stand in."""
    for url, shown in (
        ("https://live.example.org/whip?key=secret#x", "https://live.example.org:443"),
        ("HTTP://EXAMPLE.org:8889/secret/whip", "http://example.org:8889"),
        ("rtmp://secret:secret@a.example/app/secret", "rtmp://a.example:1935"),
        ("srt://[2001:db8::1]:9000?passphrase=secret", "srt://[2001:db8::1]:9000"),
        ("https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "https://127.0.0.1:443"),
    ):
        assert str(read_destination(url)) == shown


def test_addresses_of_the_inside() -> None:
    """Loopback, private, link-local, metadata, shared, reserved, multicast, and IPv6 around any of them."""
    assert [one for one in INSIDE.split() if is_public(ipaddress.ip_address(one))] == []
    outside = f"{PUBLIC} 1.1.1.1 172.32.0.1 2606:4700::1111 ::ffff:1.1.1.1 64:ff9b::101:101 2002:101:101::".split()
    assert [one for one in outside if not is_public(ipaddress.ip_address(one))] == []


class Names:
    """A resolver that gives its answers in turn, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        """Give the next answer."""
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Names:
    names = Names(*answers)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo)
    return names


async def test_names_are_resolved_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means an address inside is refused, one that means both is used by the other."""
    destination, rule = read_destination("https://live.example.org/"), AddressRule(allow_private=False)
    resolving(monkeypatch, ["10.0.0.1", PUBLIC])
    assert await rule.resolve(destination) == PUBLIC
    resolving(monkeypatch, ["169.254.169.254"])
    with pytest.raises(StreamError, match="publish_private") as refused:
        await rule.resolve(destination)
    assert refused.value.code == "bad_message"
    assert await AddressRule(allow_private=True).resolve(destination) == "169.254.169.254"
    resolving(monkeypatch, [])
    with pytest.raises(StreamError, match="not found") as refused:
        await rule.resolve(destination)
    assert refused.value.code == "bad_gateway"


async def test_a_name_that_changes_its_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public when it is looked at, loopback when it is connected to; nothing is connected."""
    connected = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        names = resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
        client = WhipClient(read_destination(f"http://a.example:{port}/"), None, AddressRule(allow_private=False))
        with pytest.raises(StreamError, match="reached") as refused:
            await client.post("v=0")
        assert refused.value.code == "bad_gateway"
        assert len(names.asked) == 2
        assert not connected.is_set()
