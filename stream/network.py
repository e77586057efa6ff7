"""From which addresses and ports peers are reached: our hook into aioice's gathering of candidates.

aioice binds any port of every address but loopback, and tells of nothing else. :class:`NetworkConnection` stands in
for its ``Connection`` and gathers by a :class:`Network` instead; ``tests/test_network.py`` fails where what it takes
from aioice is not as it was. To be removed when aioice takes ports and public addresses as parameters.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import aioice.ice
import aiortc.rtcicetransport
from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import Connection, StunProtocol
from aioice.stun import TransactionError, TransactionFailed

from stream.addresses import LOOPBACK, PublicAddresses, bind, outgoing_address, parse_ports, parse_public
from stream.config import ServerConfig
from stream.errors import StreamError

logger = logging.getLogger(__name__)

# TURN over TLS takes four round trips. Where a server does not answer, each connection waits as long as this.
GATHER_S = 3
REFUSED = (401, 403, 437, 441)
FULL = (486, 508)


@dataclass(frozen=True, slots=True)
class Network:
    """What peers are offered: loopback too, ports of this range alone (None: any), public addresses.

    ``public`` holds (public, private) addresses; a private one that is empty is the one that packets leave by.
    """

    loopback: bool = False
    ports: range | None = None
    public: PublicAddresses = ()

    def announced(self, private: str) -> list[str]:
        """Give the public addresses by which others reach this one of ours."""
        return [outside for outside, inside in self.public if private == (inside or _inside(outside, private))]


def configured_network(server: ServerConfig) -> Network:
    """Give the network that a configuration describes."""
    return Network(server.advertise_loopback, parse_ports(server.udp_ports), parse_public(server.public_ip))


def _inside(outside: str, private: str) -> str | None:
    """Give the address of ours that this public one stands for; without a route to tell by, it may be any."""
    if private == LOOPBACK or (":" in outside) != (":" in private):
        return None
    return outgoing_address(6 if ":" in outside else 4) or private


def use_network(network: Network) -> None:
    """Gather by this network in every connection made from now on, in the whole process."""
    aiortc.rtcicetransport.Connection = partial(NetworkConnection, network=network)  # pyright: ignore


class NetworkConnection(Connection):
    """aioice's connection, with candidates by a :class:`Network`.

    ``failures`` says of each STUN or TURN server that gave no candidate why, in a sentence.
    """

    def __init__(self, *args: Any, network: Network, **options: Any) -> None:
        super().__init__(*args, **options)
        self.network = network
        self.failures: list[str] = []

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = GATHER_S,  # noqa: ASYNC109 - aioice's own parameter
    ) -> list[Candidate]:
        """Give the candidates of one component: of each address, with its public ones, and those of STUN and TURN.

        Raises StreamError ``at_capacity`` where no address has a free port of the range.
        """
        if self.network.loopback and LOOPBACK not in addresses:
            addresses = [*addresses, LOOPBACK]
        protocols = await self._bind_all(component, addresses)
        hosts = [protocol.local_candidate for protocol in protocols]
        public = [_host_candidate(component, at, one.port) for one in hosts for at in self.network.announced(one.host)]
        return [*public, *hosts, *await self._ask_servers(component, protocols, timeout)]

    async def _bind_all(self, component: int, addresses: Sequence[str]) -> list[StunProtocol]:
        protocols: list[StunProtocol] = []
        taken: list[str] = []
        for address in addresses:
            try:
                bound = bind(address, self.network.ports)
            except OSError as error:
                logger.debug("no candidate at %s: %s", address, error)
                continue
            if bound is None:
                taken.append(address)
            else:
                protocols.append(await self._listen(component, bound))
        self._protocols += protocols
        # With loopback alone nobody else would reach this peer, and be told nothing.
        if taken and not any(protocol.local_candidate.host != LOOPBACK for protocol in protocols):
            raise _no_port(self.network.ports)
        return protocols

    async def _listen(self, component: int, bound: socket.socket) -> StunProtocol:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(lambda: StunProtocol(self), sock=bound)
        host, port = bound.getsockname()[:2]
        protocol.local_candidate = _host_candidate(component, host, port)
        return protocol

    async def _ask_servers(self, component: int, hosts: Sequence[StunProtocol], wait_s: float) -> list[Candidate]:
        asking: dict[asyncio.Task[Candidate], str] = {}
        # With public addresses there is nothing to learn; IPv6 has no NAT, and aioice asks by IPv4 alone.
        if self.stun_server is not None and not self.network.public:
            for host in hosts:
                if ":" not in host.local_candidate.host and host.local_candidate.host != LOOPBACK:
                    reflexive = asyncio.create_task(self._reflexive(host, self.stun_server))
                    asking[reflexive] = _named("STUN", self.stun_server)
        if self.turn_server is not None:
            relayed = asyncio.create_task(self._relayed(component, self.turn_server))
            asking[relayed] = _named("TURN", self.turn_server)
        try:
            pending = (await asyncio.wait(asking, timeout=wait_s))[1] if asking else set()
        finally:
            for task in asking:
                task.cancel()
        return self._answers(asking, pending)

    def _answers(
        self, asking: dict[asyncio.Task[Candidate], str], pending: set[asyncio.Task[Candidate]]
    ) -> list[Candidate]:
        candidates: list[Candidate] = []
        for task, server in asking.items():
            error = TimeoutError() if task in pending else task.exception()
            if error is None:
                candidates.append(task.result())
            elif isinstance(error, TransactionError | OSError):
                self._note(f"{server} {_why(error)}")
            else:
                raise error
        return candidates

    def _note(self, failure: str) -> None:
        if failure not in self.failures:
            self.failures.append(failure)
            logger.warning("%s", failure)

    async def _reflexive(self, host: StunProtocol, server: tuple[str, int]) -> Candidate:
        candidate, _ = await aioice.ice.server_reflexive_candidate(host, server)
        return candidate

    async def _relayed(self, component: int, server: tuple[str, int]) -> Candidate:
        candidate, protocol = await aioice.ice.relayed_candidate(
            component=component,
            hide_related_address=False,
            protocol_factory=lambda: StunProtocol(self),
            turn_server=server,
            turn_username=self.turn_username,
            turn_password=self.turn_password,
            turn_ssl=self.turn_ssl,
            turn_transport=self.turn_transport,
        )
        self._protocols.append(protocol)
        return candidate


def _host_candidate(component: int, host: str, port: int) -> Candidate:
    foundation, priority = candidate_foundation("host", "udp", host), candidate_priority(component, "host")
    return Candidate(foundation, component, "udp", priority, host, port, "host")


def _named(kind: str, server: tuple[str, int]) -> str:
    return f"the {kind} server {server[0]}:{server[1]}"


def _why(error: BaseException) -> str:
    """Say why a server gave no candidate, to go on after its name."""
    if isinstance(error, TransactionFailed):
        code, reason = error.response.attributes.get("ERROR-CODE", (0, ""))
        told = f"({code} {reason})".replace(" )", ")")
        if code in REFUSED:
            return (
                f"refused the credentials {told}: check server.turn_secret, or user and password in "
                "server.ice_servers, and the clocks of both machines"
            )
        return f"has no room for one more {told}" if code in FULL else f"refused to relay {told}"
    if isinstance(error, socket.gaierror):
        return "has a name that can't be resolved"
    if isinstance(error, TimeoutError | TransactionError):
        return "did not answer: is it running, and its port open?"
    return f"can't be reached: {error}"


def _no_port(ports: range | None) -> StreamError:
    where = "" if ports is None else f" ({ports.start}-{ports.stop - 1})"
    return StreamError(
        "at_capacity",
        f"Every UDP port that this server may use is taken{where}: try again later, or widen server.udp_ports.",
        ahead=0,
    )
