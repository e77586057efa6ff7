"""Whom the server answers, and where it may listen."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler
from hypothesis import example, given
from hypothesis import strategies as st

from stream.access import Access, bearer, check_binding, host_and_origin_middleware, same_secret
from stream.config import ConfigError, ServerConfig
from stream.errors import StreamError


def refused(check: object, *arguments: object) -> str | None:
    assert callable(check)
    try:
        check(*arguments)
    except StreamError as error:
        return error.code
    return None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_loopback_needs_nothing(host: str) -> None:
    """A server for this machine alone starts without token and TLS."""
    check_binding(ServerConfig(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "vivant.example", "localhost.example"])
def test_a_bare_network_binding_is_refused(host: str) -> None:
    """Beyond loopback with nothing in front, the refusal holds every way out."""
    with pytest.raises(ConfigError) as caught:
        check_binding(ServerConfig(host=host))
    fixes = ("server.access_token=", "server.tls_cert=", "server.tls_key=", "server.allow_insecure=true")
    for part in (f"server.host={host}", *fixes):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "guard",
    [
        {"access_token": "secret"},
        {"tls_cert": "cert.pem", "tls_key": "key.pem"},
        {"allow_insecure": True},
    ],
)
def test_a_guarded_network_binding_is_fine(guard: dict[str, str]) -> None:
    """A token, TLS, or saying so outright opens the server to the network."""
    check_binding(ServerConfig(host="0.0.0.0", **guard))  # pyright: ignore[reportArgumentType]


def test_public_addresses_are_answered() -> None:
    """The server answers to the addresses that ``public_ip`` gives it, and not to the private ones behind."""
    access = Access(ServerConfig(public_ip="203.0.113.7/10.0.0.5, 2001:db8::7"))
    for host in ("203.0.113.7:8080", "[2001:db8::7]:8080"):
        assert refused(access.check_host, host) is None
    assert refused(access.check_host, "10.0.0.5") == refused(access.check_host, "203.0.113.8") == "forbidden_origin"


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "[::1]"]
)
def test_loopback_names_are_answered(host: str) -> None:
    """By default the server answers to localhost and the loopback addresses, on any port."""
    assert refused(Access(ServerConfig()).check_host, host) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.5:8080",
        "localhost:port",
        "user@evil.example",
        "localhost@evil.example",
        "[::1",
        "localhost, evil.example",
    ],
)
def test_foreign_names_are_refused(host: str | None) -> None:
    """A name that is not on the list is forbidden_origin, however close it looks."""
    assert refused(Access(ServerConfig()).check_host, host) == "forbidden_origin"


@pytest.mark.parametrize(
    ("host", "address"),
    [("192.168.1.5:8080", "192.168.1.5"), ("[fd00::5]:80", "fd00::5"), ("[FD00:0::5]", "fd00::5")],
)
def test_the_address_of_the_connection_is_answered(host: str, address: str) -> None:
    """A phone that calls this machine by its own address needs no configuration; a name still does."""
    access = Access(ServerConfig(host="0.0.0.0", allow_insecure=True))
    assert refused(access.check_host, host, address) is None
    assert refused(access.check_host, "evil.example", address) == "forbidden_origin"
    assert refused(access.check_host, "192.168.1.6:8080", address) == "forbidden_origin"


def test_allowed_hosts_add_names() -> None:
    """Configured names come on top of the loopback ones, whatever their case."""
    access = Access(ServerConfig(allowed_hosts=["Vivant.example", "[fd00::1]"]))
    for host in ("vivant.EXAMPLE:443", "[fd00::1]:8080", "localhost"):
        assert refused(access.check_host, host) is None
    assert refused(access.check_host, "sub.vivant.example") == "forbidden_origin"


def test_the_bound_name_is_answered() -> None:
    """The host that the server listens on is one of its names; the wildcard address is none."""
    assert refused(Access(ServerConfig(host="vivant.lan")).check_host, "vivant.lan:8080") is None
    assert refused(Access(ServerConfig(host="0.0.0.0")).check_host, "0.0.0.0:8080") == "forbidden_origin"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "localhost:8080"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://127.0.0.1:3000", "localhost:8080"),
        ("http://192.168.1.5:8080", "192.168.1.5:8080"),
        ("https://studio.example", "localhost:8080"),
        ("HTTPS://Studio.example", "localhost:8080"),
    ],
)
def test_known_pages_may_call(origin: str | None, host: str) -> None:
    """The server's own page, pages under its names, allowed origins and programs without one get in."""
    access = Access(ServerConfig(allowed_origins=["https://studio.example/"]))
    assert refused(access.check_origin, origin, host) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        "http://studio.example",
        "https://studio.example:444",
        "https://studio.example.evil.example",
        "http://localhost.evil.example",
        "http://evil-localhost:8080",
        "file://localhost",
        "localhost",
        "http://[::1",
    ],
)
@pytest.mark.parametrize("hosts", [[], ["*"]])
def test_foreign_pages_are_refused(origin: str, hosts: list[str]) -> None:
    """A page of another site is forbidden_origin, also where the server answers to any name."""
    access = Access(ServerConfig(allowed_hosts=hosts, allowed_origins=["https://studio.example"]))
    assert refused(access.check_origin, origin, "localhost:8080") == "forbidden_origin"


def test_any_origin_must_be_said_outright() -> None:
    """A star among the origins lets every page in."""
    access = Access(ServerConfig(allowed_origins=["*"]))
    assert refused(access.check_origin, "https://anyone.example", "localhost") is None


@given(st.text(max_size=40))
def test_no_header_breaks_the_checks(text: str) -> None:
    """Whatever stands in Host and Origin, the answer is yes or forbidden_origin."""
    access = Access(ServerConfig())
    assert refused(access.check_host, text) in (None, "forbidden_origin")
    assert refused(access.check_origin, f"http://{text}", text) in (None, "forbidden_origin")


@pytest.mark.parametrize(
    ("authorization", "field", "code"),
    [
        ("Bearer sesam-öffne", None, None),
        ("bearer  sesam-öffne ", None, None),
        (None, "sesam-öffne", None),
        (None, None, "unauthorized"),
        ("Basic sesam-öffne", None, "unauthorized"),
        ("Bearer sesam", None, "unauthorized"),
        ("Bearer wrong", "sesam-öffne", "unauthorized"),
        (None, "", "unauthorized"),
        (None, 5, "unauthorized"),
    ],
)
def test_the_access_token(authorization: str | None, field: object, code: str | None) -> None:
    """With a token configured, only that token opens, from the header or else from the body."""
    access = Access(ServerConfig(access_token="sesam-öffne"))
    assert refused(access.check_token, authorization, field) == code
    assert refused(Access(ServerConfig()).check_token, authorization, field) is None


@given(st.text(), st.text())
@example("\ud800", "\ud800")
def test_secrets_are_equal_or_not(offered: str, secret: str) -> None:
    """Two secrets are the same only if they are the same text; a surrogate is no error."""
    assert same_secret(offered, secret) == (offered == secret)
    assert same_secret(secret, secret)


def test_bearer_needs_its_scheme() -> None:
    """A header with a token alone gives nothing."""
    assert (bearer("abc"), bearer("Bearer"), bearer("BEARER abc")) == ("", "", "abc")


async def test_the_middleware_answers_before_any_handler() -> None:
    """A request under a foreign name or from a foreign page never reaches its handler."""
    reached = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        reached.set()
        return web.Response(text="here")

    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except StreamError as error:
            return web.json_response({"code": error.code}, status=error.status)

    app = web.Application(middlewares=[errors, host_and_origin_middleware(Access(ServerConfig()))])
    app.router.add_get("/", handler)
    async with TestClient(TestServer(app)) as client:
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            response = await client.get("/", headers=headers)
            assert (response.status, await response.json()) == (403, {"code": "forbidden_origin"})
        assert not reached.is_set()
        assert (await client.get("/")).status == 200
    assert reached.is_set()
