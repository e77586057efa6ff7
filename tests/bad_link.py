"""A server seen over a bad link: ``python -m tests.bad_link http://127.0.0.1:8080 --rtt-ms 80 --loss 0.01``.

Any client that is given this program's address instead of the server's has its signalling passed on, and its packets
led through relays that delay and lose them; all on 127.0.0.1.
"""

import argparse
import re
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from tests.udp_relay import Trouble, UdpRelay

HOST, PORT = "127.0.0.1", 8081
CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (?P<address>\S+) (?P<port>\d+) typ host.*\r\n", re.IGNORECASE)
NAMED = "a=candidate:1 1 udp 2130706431 127.0.0.1 {} typ host\r\n"
PASSED_ON = ("Authorization", "Content-Type")


def without_candidates(sdp: str) -> str:
    """Take the client's own addresses out of an offer, so that the server knows it by the relay's alone.

    >>> without_candidates("a=mid:0\\r\\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\\r\\na=end-of-candidates\\r\\n")
    'a=mid:0\\r\\na=end-of-candidates\\r\\n'
    """
    return re.sub(r"a=candidate:.*\r\n", "", sdp)


def ports(sdp: str) -> list[int]:
    """Give the ports of an answer's host candidates, each once, in their order.

    >>> ports("a=candidate:1 1 udp 1 127.0.0.1 9 typ host\\r\\na=candidate:2 1 udp 1 127.0.0.1 9 typ host\\r\\n")
    [9]
    """
    return list(dict.fromkeys(int(found["port"]) for found in CANDIDATE.finditer(sdp)))


def led_through(sdp: str, relayed: dict[int, int]) -> str:
    """Put the relays' ports in place of the server's.

    >>> led_through("a=candidate:7 1 udp 1 127.0.0.1 9 typ host\\r\\n", {9: 10})
    'a=candidate:1 1 udp 2130706431 127.0.0.1 10 typ host\\r\\n'
    """
    return CANDIDATE.sub(lambda found: NAMED.format(relayed[int(found["port"])]), sdp)


class BadLink:
    """Passes a server's HTTP on and its packets through relays."""

    def __init__(self, server: str, trouble: Trouble) -> None:
        self._server, self._trouble = server.rstrip("/"), trouble
        self._relays: list[UdpRelay] = []
        self.app = web.Application(client_max_size=64 << 20)
        self.app.router.add_post("/offer", self._offer)
        self.app.router.add_route("*", "/{path:.*}", self._other)
        self.app.on_cleanup.append(self._end)

    async def _offer(self, request: web.Request) -> web.Response:
        offer = await request.json()
        offer["sdp"] = without_candidates(offer["sdp"])
        asked = aiohttp.request("POST", f"{self._server}/offer", json=offer, headers=passed_on(request))
        async with asked as response:
            answer, status = await response.json(), response.status
        if "sdp" in answer:
            relayed = {port: await self._relay(port) for port in ports(answer["sdp"])}
            answer["sdp"] = led_through(answer["sdp"], relayed)
        return web.json_response(answer, status=status)

    async def _other(self, request: web.Request) -> web.Response:
        address, body = f"{self._server}{request.rel_url}", await request.read()
        async with aiohttp.request(request.method, address, data=body, headers=passed_on(request)) as response:
            kind = response.headers.get("Content-Type", "application/octet-stream")
            return web.Response(body=await response.read(), status=response.status, headers={"Content-Type": kind})

    async def _relay(self, port: int) -> int:
        relay = UdpRelay((HOST, port), self._trouble)
        self._relays.append(relay)
        return await relay.start()

    async def _end(self, _: web.Application) -> None:
        for relay in self._relays:
            relay.close()


def passed_on(request: web.Request) -> dict[str, str]:
    """Give the headers of a request that the server is to see."""
    return {name: request.headers[name] for name in PASSED_ON if name in request.headers}


def main(words: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.bad_link", description=__doc__)
    parser.add_argument("server", metavar="URL")
    parser.add_argument("--port", type=int, default=PORT, help="to listen on (default: %(default)s)")
    parser.add_argument("--rtt-ms", type=float, default=80, help="there and back (default: %(default)s)")
    parser.add_argument("--loss", type=float, default=0.01, help="share of packets, each way (default: %(default)s)")
    given = parser.parse_args(words)
    link = BadLink(given.server, Trouble(given.loss, given.rtt_ms / 2000))
    web.run_app(link.app, host=HOST, port=given.port, print=None)


if __name__ == "__main__":
    main()
