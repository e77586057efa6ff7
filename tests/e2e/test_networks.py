"""From another machine: behind NAT, through a relay, over https, and what is said where none of it works.

The machines are network namespaces. Screenshots are kept in ``artifacts/``.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.certificate import make_certificate
from tests.conftest import CHROMIUM_ARGS
from tests.e2e.test_browser import FRAMES, PATIENCE_MS, keep, load, start_with_picture
from tests.e2e.test_watch import SHOWN
from tests.netns import RELAY, ROOT, SECRET, SERVER, UDP_PORTS, Internet, await_line, internet

FORWARDED = (f"server.public_ip={SERVER}", f"server.udp_ports={UDP_PORTS}")
RELAYED = (f"server.ice_servers=turn:{RELAY}:3478", f"server.allowed_hosts={SERVER}")
PLAIN, RELAYING, MISTAKEN, SECURE = (f"{SERVER}:{port}" for port in range(8080, 8084))

# Every connection of a page, for what it does not tell of itself.
CONNECTIONS = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...options) { super(...options); window.connections.push(this); }
};
"""
# The two ends of the path in use: [[type, address, port], [type, address, port]].
PATH = """async () => {
  const stats = await window.connections.at(-1).getStats();
  const transport = [...stats.values()].find(({ type }) => type === "transport");
  const pair = stats.get(transport.selectedCandidatePairId);
  return [pair.localCandidateId, pair.remoteCandidateId].map((id) => {
    const { candidateType, address, port } = stats.get(id);
    return [candidateType, address, port];
  });
}"""

OpenPage = Callable[[str], Any]

# Five servers, a relay and browsers of their own: a quarter of the time of all that keeps real time.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """The namespaces with a relay, and four servers: forwarded, relayed, with the wrong secret, with TLS."""
    certificate, key = make_certificate(tmp_path_factory.mktemp("tls"), SERVER)
    tls = (f"server.tls_cert={certificate}", f"server.tls_key={key}")
    with internet() as made:
        relay = made.start_relay()
        servers = [
            made.start_server("server.port=8080", *FORWARDED),
            made.start_server("server.port=8081", *RELAYED, f"server.turn_secret={SECRET}"),
            made.start_server("server.port=8082", *RELAYED, "server.turn_secret=south"),
            made.start_server("server.port=8083", *FORWARDED, *tls),
        ]
        await_line(relay, "(auth thread)")
        for server in servers:
            await_line(server, "Ready.")
        yield made


@pytest.fixture
async def open_page(net: Internet, chromium_path: str, tmp_path: Path) -> AsyncIterator[OpenPage]:
    """Opens pages on the client's machine."""
    program = tmp_path / "chromium"
    program.write_text(f'#!/bin/sh\nexec {" ".join(net.within("client"))} "{chromium_path}" "$@"\n')
    program.chmod(0o755)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGS))

        async def open_page(url: str) -> Page:
            # What waits for a condition evaluates text, which the page's policy forbids.
            options: dict[str, Any] = {"ignore_https_errors": True, "bypass_csp": True}
            context = await browser.new_context(viewport={"width": 1280, "height": 800}, **options)
            await context.add_init_script(CONNECTIONS)
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            await load(page, url)
            return page

        yield open_page
        await browser.close()


async def direct(net: Internet, place: str) -> tuple[int | None, str]:
    """Run the headless director on the client's machine; gives its exit status and what it printed."""
    command = [sys.executable, "-m", "stream.client", f"http://{place}", "--seconds", "0.5", "--latency", "0"]
    process = await asyncio.create_subprocess_exec(
        *net.within("client"), *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def examine(net: Internet, *options: str) -> tuple[int | None, list[dict[str, str]]]:
    """Run the doctor on the server's machine; gives its exit status and what it found."""
    command = [sys.executable, "-m", "stream.doctor", "--json", "server.host=0.0.0.0", "server.allow_insecure=true"]
    process = await asyncio.create_subprocess_exec(
        *net.within("server"), *command, *options, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return process.returncode, json.loads(output)


async def plays(page: Page) -> None:
    """Wait until frames come."""
    first = await page.evaluate(FRAMES)
    await page.wait_for_function(f"{FRAMES} >= {first + 5}")


@pytest.mark.browser
async def test_behind_nat_the_public_address_and_the_forwarded_ports_do(net: Internet, open_page: OpenPage) -> None:
    """Both sides behind a router, no STUN, no TURN: a program connects, and a page of the public https origin plays."""
    net.filter()
    page, directed = await asyncio.gather(open_page(f"https://{SECURE}"), direct(net, PLAIN))
    assert directed[0] == 0, directed[1]
    assert re.search(r"video +\d+ frames", directed[1])
    assert await page.evaluate("isSecureContext")
    await start_with_picture(page)
    await plays(page)
    (_, (_, address, port)) = await page.evaluate(PATH)
    low, _, high = UDP_PORTS.partition("-")
    assert address == SERVER
    assert int(low) <= port <= int(high)
    await keep(page, "networks-https")


@pytest.mark.browser
async def test_where_only_the_relay_is_reached_all_goes_through_it(net: Internet, open_page: OpenPage) -> None:
    """With UDP to and from the relay alone a program, the page and the viewer's page connect."""
    net.filter(only_relay=True)
    page, directed = await asyncio.gather(open_page(f"http://{RELAYING}"), direct(net, RELAYING))
    assert directed[0] == 0, directed[1]
    await start_with_picture(page)
    await plays(page)
    # One end may reach the other's address at the relay straight; its own is then one that the browser does not tell.
    assert RELAY in [address for _, address, _ in await page.evaluate(PATH)]
    assert not await page.evaluate("isSecureContext"), "of a plain origin that is not loopback"
    stream = await page.evaluate("JSON.parse(sessionStorage.getItem('vivant.stream')).stream")
    watching = await open_page(f"http://{RELAYING}/watch/{stream}")
    await watching.wait_for_function(f"{SHOWN}?.getVideoPlaybackQuality().totalVideoFrames >= 5")
    assert RELAY in [address for _, address, _ in await watching.evaluate(PATH)]


@pytest.mark.browser
async def test_where_nothing_connects_the_cause_is_told(net: Internet, open_page: OpenPage) -> None:
    """Without a relay the page says that no packet comes through, and what to set; with the wrong secret, that."""
    net.filter(only_relay=True)

    async def reason(place: str, name: str) -> str:
        page = await open_page(f"http://{place}")
        await expect(page.locator("#status-error")).to_be_visible(timeout=PATIENCE_MS)
        await keep(page, name)
        return await page.inner_text("#status-error")

    blocked, refused, directed = await asyncio.gather(
        reason(PLAIN, "networks-blocked"), reason(MISTAKEN, "networks-refused"), direct(net, MISTAKEN)
    )
    assert f"no UDP packet came back from {SERVER}:" in blocked
    for key in ("server.udp_ports", "server.public_ip", "server.ice_servers", "stream.doctor"):
        assert key in blocked
    assert "TURN server turn:" not in blocked
    assert re.search(rf"TURN server turn:{re.escape(RELAY)}\S* refused the credentials \(401", refused), refused
    assert directed[0] == 1
    assert "refused the credentials (401 Unauthorized): check server.turn_secret" in directed[1]


async def test_the_doctor_tells_a_relay_that_works_from_one_that_refuses(net: Internet) -> None:
    """It makes an allocation with credentials of the secret, and looks who holds the HTTP port."""
    net.filter()
    stun = f"server.ice_servers=turn:{RELAY}:3478,stun:{RELAY}:3478"
    (status, found), (refused_status, refused) = await asyncio.gather(
        examine(net, "server.port=8080", stun, f"server.turn_secret={SECRET}"),
        examine(net, "server.port=8089", stun, "server.turn_secret=south"),
    )
    lines = {one["subject"]: one for one in found}
    assert (status, lines["turn"]["verdict"]) == (0, "ok"), found
    assert "Vivant is running there already" in lines["http"]["found"]
    assert f"relays at {RELAY}" in lines["turn"]["found"]
    assert f"sees this machine as {SERVER}" in lines["stun"]["found"]
    turn = next(one for one in refused if one["subject"] == "turn")
    assert (refused_status, turn["verdict"]) == (1, "fail")
    assert "refused the credentials (401" in turn["found"]
