"""What may be set, and what a wrong setting says."""

from pathlib import Path

import pytest

from pipeline.config import ModelConfig
from stream.config import Config, ConfigError, ServerConfig, keys, load

MANUAL = Path(__file__).parents[1] / "configs" / "pocket.yaml"


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    return str(caught.value)


def test_defaults() -> None:
    """With nothing given, the server is at 127.0.0.1:8080 and the model is pocket."""
    config = load(None)
    assert config == Config()
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.model == ModelConfig()


def test_the_manual_holds_the_defaults() -> None:
    """configs/pocket.yaml sets every key but those of Wan, to its default."""
    assert load(MANUAL) == Config()
    lines = MANUAL.read_text(encoding="utf-8").splitlines()
    section, written = "", set[str]()
    for line in lines:
        if line and line[0].isalpha():
            section = line.rstrip(":")
        elif line.strip() and not line.lstrip().startswith("#"):
            written.add(f"{section}.{line.split(':')[0].strip()}")
    assert written == {key for key in keys() if not key.startswith("wan.")}


def test_the_manual_explains_every_key() -> None:
    """Every block of keys in configs/pocket.yaml stands below a comment."""
    above = ""
    for line in MANUAL.read_text(encoding="utf-8").splitlines():
        if line.startswith("  ") and not line.lstrip().startswith("#"):
            assert above.strip(), f"no comment above {line.strip()}"
        above = line


def test_later_ones_win(tmp_path: Path) -> None:
    """A file overrides the defaults, an argument the file, a later argument an earlier one."""
    path = write(tmp_path, "server:\n  port: 9000\n  host: localhost\n")
    config = load(path, ["server.port=9001", "server.port=9002"])
    assert (config.server.port, config.server.host) == (9002, "localhost")
    assert config.stream == Config().stream


def test_values_have_the_types_of_their_keys() -> None:
    """Numbers, booleans, lists and words given as arguments arrive as what they are."""
    config = load(
        None,
        [
            "stream.low_buffer_s=1e-1",
            "server.allow_insecure=true",
            "server.allowed_hosts=a.example, b.example",
            "server.allowed_origins=[https://x.example]",
            "stream.latency=smooth",
        ],
    )
    assert config.stream.low_buffer_s == 0.1
    assert config.server.allow_insecure is True
    assert config.server.allowed_hosts == ["a.example", "b.example"]
    assert config.server.allowed_origins == ["https://x.example"]
    assert config.stream.latency == "smooth"


def test_any_host_is_a_plain_star() -> None:
    """server.allowed_hosts=* needs no quoting, though a star means something else in YAML."""
    assert load(None, ["server.allowed_hosts=*"]).server.allowed_hosts == ["*"]


@pytest.mark.parametrize("token", ["0123", "1e5", "true", "null", "a=b", "", "[x]", "a: b", "#x"])
def test_a_token_is_taken_as_it_stands(token: str) -> None:
    """Text from the command line is not read as YAML, which would change tokens that look like numbers."""
    assert load(None, [f"server.access_token={token}"]).server.access_token == token


def test_a_number_for_a_token_in_a_file_is_refused(tmp_path: Path) -> None:
    """A token in a file that YAML reads as a number is refused, since its digits are lost by then."""
    with pytest.raises(ConfigError, match=r"server\.access_token is text: write its value in quotes"):
        load(write(tmp_path, "server:\n  access_token: 0123\n"))


def test_text_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret can come from an environment variable, and a missing variable names the key."""
    path = write(tmp_path, "server:\n  access_token: ${oc.env:VIVANT_TEST_TOKEN}\n")
    monkeypatch.setenv("VIVANT_TEST_TOKEN", "0123")
    assert load(path).server.access_token == "0123"
    monkeypatch.delenv("VIVANT_TEST_TOKEN")
    with pytest.raises(ConfigError, match=r"^server\.access_token: .*VIVANT_TEST_TOKEN"):
        load(path)


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("server.prot=1", "unknown key 'server.prot': did you mean server.port?"),
        ("port=1", "did you mean server.port?"),
        ("serve.port=1", "did you mean server.port?"),
        ("stream.bitrate=1", "did you mean stream.bitrate_kbps?"),
        ("server=1", "server is a section: write server.KEY=value"),
        ("nothing.like=1", "the sections are server, stream, engine, model, wan"),
        ("server.zzz=1", "the keys of server are host, port,"),
        ("server..port=1", "did you mean server.port?"),
        ("=1", "unknown key ''"),
        ("server.port.x=1", "did you mean server.port?"),
    ],
)
def test_an_unknown_key_names_the_right_one(override: str, names: str) -> None:
    """An unknown key is refused in one line with the nearest known key, or those that there are."""
    message = refusal(override)
    assert names in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("server.port=http", "server.port: Value 'http'"),
        ("server.port=8080.5", "server.port: Value '8080.5'"),
        ("server.port=true", "server.port: Value 'True'"),
        ("server.port=", "server.port: "),
        ("server.port=[", "can't read 'server.port=['"),
        ("server.port=70000", "server.port: 70000 is out of bounds, 0 to 65535"),
        ("server.port=-1", "server.port: -1 is out of bounds"),
        ("stream.low_buffer_s=.nan", "stream.low_buffer_s: nan is out of bounds"),
        ("stream.low_buffer_s=.inf", "stream.low_buffer_s: inf is out of bounds"),
        ("stream.latency=lo", "stream.latency: Invalid value 'lo', expected one of ['low', 'smooth']"),
        ("engine.kind=fleet", "engine.kind: Invalid value 'fleet'"),
        ("server.allow_insecure=perhaps", "server.allow_insecure: Value 'perhaps'"),
        ("server.allowed_hosts=[a", "can't read 'server.allowed_hosts=[a'"),
        ("server.host=", "server.host: empty"),
        ("model.steps=0", "model.steps: 0 is out of bounds"),
        ("model.dtype=float16", "model.dtype: 'float16' is not one of auto, float32, bfloat16"),
        ("stream.bitrate_kbps=200", "must lie between stream.min_bitrate_kbps (300)"),
        ("stream.max_bitrate_kbps=1000", "and stream.max_bitrate_kbps (1000)"),
        ("server.tls_cert=a.pem", "server.tls_cert and server.tls_key go together"),
        ("server.udp_ports=50000-", "server.udp_ports: '50000-' is no range of ports; write one as 50000-50100"),
        ("server.udp_ports=0-10", "server.udp_ports: '0-10' is no range of ports"),
        ("server.udp_ports=6000-5000", "server.udp_ports: '6000-5000' runs backwards"),
        ("server.public_ip=example.org", "server.public_ip: 'example.org' is no address; write the public one"),
        ("server.public_ip=203.0.113.7/", "server.public_ip: '203.0.113.7/' is no address"),
        ("server.public_ip=203.0.113.7/::1", "server.public_ip: '203.0.113.7/::1' has addresses of two kinds"),
        ("server.ice_servers=stun.example.org", "server.ice_servers: 'stun.example.org:' is no STUN or TURN server"),
        ("server.ice_servers=turn:a:b@c?transport=ws", "server.ice_servers: 'turn:c?transport=ws' is no STUN or TURN"),
        ("server.ice_servers=stun:a:b@c", "server.ice_servers: 'stun:c' is a STUN server, which takes neither"),
        ("server.ice_servers=turn:turn.example", "server.ice_servers: turn:turn.example needs credentials"),
        ("server.turn_ttl_s=5", "server.turn_ttl_s: 5 is out of bounds"),
        ("justaword", "'justaword' is not key=value"),
    ],
)
def test_a_wrong_value_names_its_key(override: str, says: str) -> None:
    """A value of the wrong type, out of bounds or at odds with another is refused in one line."""
    message = refusal(override)
    assert says in message
    assert "\n" not in message


def test_settings_of_the_network_are_taken_as_one_writes_them(tmp_path: Path) -> None:
    """Ports and addresses need no quotes in a file, and a shared secret stands for the credentials of TURN."""
    text = "server:\n  public_ip: 203.0.113.7\n  udp_ports: 50000-50100\n  turn_secret: x\n"
    server = load(write(tmp_path, text), ["server.ice_servers=stun:a.example,turn:b.example:99"]).server
    assert (server.public_ip, server.udp_ports) == ("203.0.113.7", "50000-50100")
    assert server.ice_servers == ["stun:a.example", "turn:b.example:99"]


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    """A certificate or key file that is not there is named with its key."""
    here = write(tmp_path, "")
    message = refusal(f"server.tls_cert={here}", f"server.tls_key={tmp_path}/none.pem")
    assert message == f"server.tls_key: there is no file {tmp_path}/none.pem"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("server:\n  prot: 1\n", "unknown key 'server.prot': did you mean server.port?"),
        ("serve:\n  port: 1\n", "unknown key 'serve': did you mean server?"),
        ("port: 1\n", "unknown key 'port': did you mean server.port?"),
        ("server: 1\n", "'server' is a section"),
        ("- server\n", "must hold sections"),
        ("server:\n  port: 1\n  port: 2\n", "is not YAML: "),
        ("server: {port: 1\n", "is not YAML: "),
        ("server:\n  port: [1]\n", "server.port: "),
        ("1: 2\n", "unknown key '1'"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, says: str) -> None:
    """A fault in a file is refused in one line that names the key or the place."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    """A file that is not there, is a folder, or is no text, is named."""
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x00\xff")
    with pytest.raises(ConfigError, match=r"binary\.yaml is not YAML"):
        load(tmp_path / "binary.yaml")


@pytest.mark.parametrize("text", ["", "server:\n", "# a comment\n", "server:\n  # port: 1\nstream: {}\n"])
def test_empty_sections_mean_the_defaults(tmp_path: Path, text: str) -> None:
    """A file or a section with everything commented out changes nothing."""
    assert load(write(tmp_path, text)) == Config()


def test_configurations_are_not_shared() -> None:
    """Two configurations have lists of their own."""
    assert ServerConfig().allowed_hosts is not ServerConfig().allowed_hosts
