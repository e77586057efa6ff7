"""The path between a client and a server that delays and loses packets."""

from aiohttp.test_utils import TestServer

from stream.client import Plan, measure
from stream.client_report import Report
from tests.bad_link import BadLink
from tests.real_site import RealSite
from tests.udp_relay import Trouble

ONE_WAY_S = 0.12


async def seconds_to_connect(trouble: Trouble) -> float:
    """Direct a stream through the link; gives the seconds from the answer to the open channel."""
    async with RealSite() as site:
        async with TestServer(BadLink(str(site.http.make_url("/")), trouble).app) as link:
            (report,) = await measure(str(link.make_url("/")), Plan(seconds=0.5))
        assert isinstance(report, Report), report
        assert report.frames > 0
        return (report.connected_ms - report.answered_ms) / 1000


async def test_every_packet_takes_the_way_that_delays() -> None:
    """ICE, DTLS and SCTP need several round trips before a channel opens; a way around the relay would be seen."""
    assert await seconds_to_connect(Trouble(0.0, ONE_WAY_S)) > 6 * ONE_WAY_S
