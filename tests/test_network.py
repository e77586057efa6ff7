"""Candidates: the addresses, ports and public addresses of the configuration, and no others."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import aioice.ice
import pytest
from aioice import Candidate, Connection
from aioice.stun import Class, Message, Method, parse_message
from aiortc import RTCIceGatherer

from stream import network
from stream.addresses import LOOPBACK, bind, outgoing_address, shuffled
from stream.config import ServerConfig
from stream.errors import StreamError
from stream.network import Network, NetworkConnection, configured_network, use_network
from tests.fake_live import FakeLive
from tests.loopback import Client
from tests.site import Site
from tests.stage import staged

HOST = "198.51.100.7"
# aioice declares whole seconds, and asyncio takes any.
BRIEFLY_S: Any = 0.3


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """End with the network that most tests take."""
    yield
    use_network(Network(loopback=True))


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a network, where nothing else can take a port."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])


@pytest.fixture
def second_loopback(monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine with one address, which is to be reached from here alone."""
    address = "127.0.0.2"
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [address])
    monkeypatch.setattr(network, "outgoing_address", lambda version: address if version == 4 else None)
    return address


def free_ports(count: int, address: str = LOOPBACK) -> range:
    """Give a run of ports that are free at this moment."""
    for low in range(40_000, 60_000, count):
        holders = [bind(address, range(port, port + 1)) for port in range(low, low + count)]
        for holder in holders:
            if holder is not None:
                holder.close()
        if None not in holders:
            return range(low, low + count)
    raise AssertionError("no free ports")


async def gathered(connection: Connection) -> list[Candidate]:
    """The candidates that a connection offers."""
    try:
        await connection.gather_candidates()
        return connection.local_candidates
    finally:
        await connection.close()


async def sees(live: FakeLive, client: Client) -> None:
    """Check that frames of the stream reach a client."""
    before = len(client.frames)
    await live.publish(4)
    await client.wait(lambda: len(client.frames) > before)


def of(chosen: Network, **options: Any) -> NetworkConnection:
    return NetworkConnection(ice_controlling=False, network=chosen, **options)


async def test_without_settings_it_offers_what_aioice_does() -> None:
    """The same addresses, with the same types, foundations and priorities; only the ports are each one's own."""

    def facts(candidates: list[Candidate]) -> list[tuple[object, ...]]:
        return [(one.foundation, one.component, one.transport, one.priority, one.host, one.type) for one in candidates]

    assert facts(await gathered(of(Network()))) == facts(await gathered(Connection(ice_controlling=False)))


async def test_loopback_is_offered_beside_the_other_addresses() -> None:
    """Switched on it is one address more, once, on a machine without a network too."""
    before = [one.host for one in await gathered(of(Network()))]
    assert LOOPBACK not in before
    assert [one.host for one in await gathered(of(Network(loopback=True)))] == [*before, LOOPBACK]


@pytest.mark.usefixtures("only_loopback")
async def test_two_connect_with_ports_of_a_range() -> None:
    """Sockets of our own carry ICE as aioice's do: checks, and what is sent after them."""
    ports = free_ports(4)
    one, other = of(Network(True, ports)), NetworkConnection(True, network=Network(True, ports))
    for connection in (one, other):
        await connection.gather_candidates()
    assert {candidate.port for side in (one, other) for candidate in side.local_candidates} <= {*ports}
    for here, there in ((one, other), (other, one)):
        here.remote_username, here.remote_password = there.local_username, there.local_password
        for candidate in there.local_candidates:
            await here.add_remote_candidate(candidate)
        await here.add_remote_candidate(None)
    async with asyncio.timeout(5):
        await asyncio.gather(one.connect(), other.connect())
        await one.send(b"hello")
        assert await other.recv() == b"hello"
    await asyncio.gather(one.close(), other.close())


def test_every_port_is_tried_once() -> None:
    """From a random one on, each of the range."""
    assert sorted(shuffled(range(5, 9))) == [5, 6, 7, 8]
    ports = free_ports(3)
    held = [bind(LOOPBACK, ports) for _ in ports]
    assert {one.getsockname()[1] for one in held if one is not None} == {*ports}
    assert bind(LOOPBACK, ports) is None
    for one in held:
        assert one is not None
        one.close()


@pytest.mark.usefixtures("only_loopback")
async def test_without_a_free_port_it_says_so_and_leaves_nothing() -> None:
    """Gathering fails with ``at_capacity`` and the range; closed, the connection holds no socket."""
    ports = free_ports(1)
    holder = bind(LOOPBACK, ports)
    assert holder is not None
    connection = of(Network(True, ports))
    with pytest.raises(StreamError, match=rf"at_capacity: .*\({ports[0]}-{ports[0]}\).*server\.udp_ports"):
        await connection.gather_candidates()
    await connection.close()
    assert not connection._protocols
    holder.close()


async def test_loopback_alone_is_not_enough_where_there_is_more(second_loopback: str) -> None:
    """A peer that only this machine could reach is refused: nobody would be told why it never connects."""
    ports = free_ports(1, second_loopback)
    holder = bind(second_loopback, ports)
    assert holder is not None
    connection = of(Network(True, ports))
    with pytest.raises(StreamError, match="at_capacity"):
        await connection.gather_candidates()
    await connection.close()
    holder.close()


@pytest.mark.usefixtures("only_loopback")
async def test_when_all_ports_are_taken_an_offer_gets_503_and_others_go_on() -> None:
    """Who comes later is told to try again, who is there keeps its video, and a port that is freed serves anew."""
    site = Site(ServerConfig())
    async with staged(site, "whep") as stage:
        first, second, third = (Client(channel=False) for _ in range(3))
        stage.clients += [second, third]
        use_network(Network(True, free_ports(1)))
        session = (await stage.connect(first)).headers["Location"]
        await sees(stage.live, first)
        refused = await stage.post(await second.offer())
        assert (refused.status, refused.code) == (503, "at_capacity")
        assert int(refused.headers["Retry-After"]) > 0
        await sees(stage.live, first)
        async with site.http.delete(session) as response:
            assert response.status == 200
        await stage.connect(third)
        await sees(stage.live, third)


async def test_public_addresses_stand_beside_the_ones_that_they_lead_to(second_loopback: str) -> None:
    """The same port at the public address, before its own; loopback and other addresses have none."""
    candidates = await gathered(of(Network(True, None, ((HOST, ""), ("198.51.100.8", LOOPBACK), ("2001:db8::7", "")))))
    places = [(one.host, one.type) for one in candidates]
    assert places == [
        (HOST, "host"),
        ("198.51.100.8", "host"),
        (second_loopback, "host"),
        (LOOPBACK, "host"),
    ]
    ports = {one.host: one.port for one in candidates}
    assert ports[HOST] == ports[second_loopback]
    assert ports["198.51.100.8"] == ports[LOOPBACK]
    assert len({one.foundation for one in candidates}) == len(candidates)


def test_the_private_address_is_the_one_that_packets_leave_by() -> None:
    """Without one named, the public address stands for that of the default route."""
    here = outgoing_address()
    if here is None:
        pytest.skip("this machine has no network")
    chosen = Network(public=((HOST, ""),))
    assert (chosen.announced(here), chosen.announced("10.255.255.1")) == ([HOST], [])


def test_without_a_route_every_private_address_may_be_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing says which address packets leave by, the public one stands beside each of its kind."""
    monkeypatch.setattr(network, "outgoing_address", lambda version: None)
    chosen = Network(public=((HOST, ""),))
    assert [chosen.announced(one) for one in ("10.0.0.1", "10.0.0.2")] == [[HOST], [HOST]]
    assert [chosen.announced(one) for one in (LOOPBACK, "2001:db8::1")] == [[], []]


class StunServer(asyncio.DatagramProtocol):
    """Answers by a function of the request, or not at all."""

    def __init__(self, error: tuple[int, str] | None, mapped: tuple[str, int] | None = None) -> None:
        self.error, self.mapped = error, mapped
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = parse_message(data)
        kind = Class.ERROR if self.error else Class.RESPONSE
        answer = Message(request.message_method, kind, request.transaction_id)
        if self.error:
            answer.attributes["ERROR-CODE"] = self.error
            answer.attributes["REALM"], answer.attributes["NONCE"] = "here", b"nonce"
        elif self.mapped and request.message_method == Method.BINDING:
            answer.attributes["XOR-MAPPED-ADDRESS"] = self.mapped
        if self.error or self.mapped:
            self.transport.sendto(bytes(answer), addr)


@contextlib.asynccontextmanager
async def running(server: StunServer) -> AsyncIterator[tuple[str, int]]:
    """Let it listen; gives its address."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.2", 0))
    yield transport.get_extra_info("sockname")
    transport.close()
    await server.lost.wait()


async def test_stun_is_asked_unless_the_public_address_is_known(second_loopback: str) -> None:
    """It gives a candidate of its own kind; where ``public_ip`` says it already, it is not asked."""
    async with running(StunServer(None, (HOST, 4321))) as address:
        found = await gathered(of(Network(True), stun_server=address))
        assert [(one.host, one.port, one.type) for one in found if one.type != "host"] == [(HOST, 4321, "srflx")]
        known = await gathered(of(Network(True, None, ((HOST, ""),)), stun_server=address))
        assert {one.type for one in known} == {"host"}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ((401, "Unauthorized"), r"refused the credentials \(401 Unauthorized\): check server\.turn_secret"),
        ((486, "Allocation Quota Reached"), r"has no room for one more \(486 Allocation Quota Reached\)"),
        ((442, "Unsupported"), r"refused to relay \(442 Unsupported\)"),
        (None, "did not answer"),
    ],
)
async def test_a_turn_server_that_gives_nothing_is_named_with_the_reason(
    error: tuple[int, str] | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other candidates are there all the same; the reason is kept, and logged once."""
    async with running(StunServer(error)) as address:
        connection = of(Network(True), turn_server=address, turn_username="me", turn_password="wrong")
        candidates = await connection.get_component_candidates(1, [], timeout=BRIEFLY_S)
        assert [one.host for one in candidates] == [LOOPBACK]
        await connection.get_component_candidates(1, [], timeout=BRIEFLY_S)
        (failure,) = connection.failures
        assert re.match(rf"the TURN server 127\.0\.0\.2:{address[1]} {why}", failure), failure
        assert caplog.messages.count(failure) == 1
        await connection.close()


async def test_a_server_whose_name_is_unknown_is_named() -> None:
    """A name that can't be resolved is no reason to fail, and is said."""
    connection = of(Network(True), turn_server=("turn.invalid", 3478), turn_username="me", turn_password="x")
    assert [one.type for one in await connection.get_component_candidates(1, [])] == ["host"]
    assert connection.failures == ["the TURN server turn.invalid:3478 has a name that can't be resolved"]
    await connection.close()


async def test_what_is_no_failure_of_the_network_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where aioice's internals change, the error shows; it is not taken for a server that is away."""

    async def changed(**_: object) -> None:
        raise TypeError("unexpected keyword argument")

    monkeypatch.setattr(aioice.ice, "relayed_candidate", changed)
    connection = of(Network(True), turn_server=("127.0.0.2", 3478), turn_username="me", turn_password="x")
    with pytest.raises(TypeError, match="unexpected keyword"):
        await connection.get_component_candidates(1, [])
    await connection.close()


def test_the_hook_is_in_its_place() -> None:
    """aiortc makes its connections by the name that is replaced, and the configuration's values arrive there."""
    use_network(configured_network(ServerConfig(udp_ports="5000-5001", public_ip=HOST, advertise_loopback=False)))
    made = RTCIceGatherer([])._connection
    assert isinstance(made, NetworkConnection)
    assert made.network == Network(False, range(5000, 5002), ((HOST, ""),))
