"""Whether the other side of a connection is still there: heard of late, or at least answering when asked.

ICE takes half a minute to tell (RFC 7675 lets a consent live for 30 s), and meanwhile everything is sent into the
void. Any datagram of the peer's is a sign of life; one that falls silent is sent connectivity checks, which every
ICE agent must answer.
"""

import asyncio
import logging
from collections.abc import Callable
from types import MethodType
from typing import Any

from aioice.ice import Connection, StunProtocol
from aiortc import RTCIceTransport

logger = logging.getLogger(__name__)

TICK_S = 0.5
# Nearly all peers report every second; who does not is asked from here on, at every tick.
ASK_AFTER_TICKS = 3
GONE_AFTER_TICKS = 9


class Liveness:
    """Watches one connected ICE transport and calls ``gone`` once, 4.5 to 5 s after the last datagram.

    Time is counted in turns of the loop: when the loop itself stands still, nobody is given up for it.
    """

    def __init__(self, transport: RTCIceTransport, gone: Callable[[], None]) -> None:
        self._connection: Connection = transport._connection
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._silent_ticks = 0
        for protocol in self._connection._protocols:
            self._listen(protocol)
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def close(self) -> None:
        """Stop watching; idempotent."""
        self._timer.cancel()

    def _listen(self, protocol: StunProtocol) -> None:
        receive = protocol.datagram_received

        def datagram_received(_: StunProtocol, data: bytes | str, addr: tuple[Any, ...]) -> None:
            self._silent_ticks = 0
            receive(data, addr)

        protocol.datagram_received = MethodType(datagram_received, protocol)

    def _tick(self) -> None:
        self._silent_ticks += 1
        if self._silent_ticks > GONE_AFTER_TICKS:
            self._gone()
            return
        if self._silent_ticks > ASK_AFTER_TICKS:
            self._ask()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def _ask(self) -> None:
        """Send a check, whose answer comes in as a datagram; no transaction waits for it."""
        connection = self._connection
        if connection.remote_password is None:
            return
        for pair in connection._nominated.values():
            request = connection.build_request(pair, nominate=False)
            request.add_message_integrity(connection.remote_password.encode())
            pair.protocol.send_stun(request, pair.remote_addr)
