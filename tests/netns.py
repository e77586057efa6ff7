"""Machines that are not there: network namespaces with routers between, for tests of what NAT and firewalls do.

    server 10.1.0.2 -- router 203.0.113.1 -+- 203.0.113.9 relay
    client 10.2.0.2 -- router 203.0.113.2 -+

The addresses are of blocks for documentation and private use, and no packet leaves the namespaces.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import without_client

ROOT = Path(__file__).parents[1]
TOOLS = {"ip": "iproute2", "nft": "nftables", "turnserver": "coturn"}
SERVER, CLIENT, RELAY = "203.0.113.1", "203.0.113.2", "203.0.113.9"
INSIDE = "10.1.0.2"
HTTP_PORTS, UDP_PORTS = "8080-8089", "50000-50019"
SECRET = "north"

NAT = """
flush ruleset
table ip nat {
  chain in { type nat hook prerouting priority dstnat
    %(forwards)s
  }
  chain out { type nat hook postrouting priority srcnat
    oifname "wan" masquerade
  }
}
table ip filter {
  chain through { type filter hook forward priority filter; policy drop
    %(drops)s
    ct state established,related accept
    iifname "lan" accept
    ct status dnat accept
  }
}
"""
FORWARDS = f"""iifname "wan" tcp dport {HTTP_PORTS} dnat to {INSIDE}
    iifname "wan" udp dport {UDP_PORTS} dnat to {INSIDE}"""
ONLY_RELAY = f"""meta l4proto udp ip daddr != {RELAY} ip saddr != {RELAY} drop"""

# Namespace: the name of its interface, its addresses, its default route.
LINKS = (
    ("server-router", "wan", f"{SERVER}/24", "internet"),
    ("client-router", "wan", f"{CLIENT}/24", "internet"),
    ("server", "lan", f"{INSIDE}/24", "server-router"),
    ("client", "lan", "10.2.0.2/24", "client-router"),
)
GATEWAYS = {"server": "10.1.0.1", "client": "10.2.0.1"}


@dataclass(slots=True)
class Internet:
    """The namespaces, by short names, and the processes in them."""

    prefix: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def within(self, name: str) -> list[str]:
        """Give what a command line begins with to run in a namespace."""
        return ["ip", "netns", "exec", self.prefix + name]

    def filter(self, only_relay: bool = False) -> None:
        """Set both routers up, to let UDP through to and from the relay alone, or as routers at home do.

        Either way the server's forwards its ports, and what was connected before is forgotten.
        """
        for name, forwards in (("server-router", FORWARDS), ("client-router", "")):
            rules = NAT % {"forwards": forwards, "drops": ONLY_RELAY if only_relay else ""}
            run([*self.within(name), "nft", "-f", "-"], rules)

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[str]:
        """Run a program in a namespace until the end."""
        process = subprocess.Popen(
            [*self.within(name), *command], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.processes.append(process)
        return process

    def start_server(self, *options: str) -> subprocess.Popen[str]:
        """Run the server with a fake model, reachable from everywhere."""
        command = [sys.executable, "-m", "tests.serve_fake", "server.host=0.0.0.0", "server.allow_insecure=true"]
        return self.start("server", [*command, "engine.kind=thread", "stream.director_grace_s=1", *options])

    def start_relay(self) -> subprocess.Popen[str]:
        """Run coturn, which takes time-limited credentials made of :data:`SECRET`."""
        options = f"-n --listening-ip={RELAY} --relay-ip={RELAY} --realm=test --use-auth-secret --no-tls --no-dtls"
        more = f"--static-auth-secret={SECRET} --no-cli --log-file=stdout --pidfile= --min-port=49200 --max-port=49300"
        return self.start("internet", ["turnserver", *options.split(), *more.split()])

    def close(self) -> None:
        """End every process and take the namespaces away."""
        for process in self.processes:
            process.kill()
            process.communicate()
        for name in ("internet", *(link[0] for link in LINKS)):
            subprocess.run(["ip", "netns", "del", self.prefix + name], check=False, capture_output=True)


def missing() -> str:
    """Say what this machine lacks for namespaces, with the fix; empty where nothing."""
    packages = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if packages:
        return f"apt-get install {' '.join(packages)}"
    if os.geteuid() != 0:
        return "run as root, or: sudo make test"
    tried = subprocess.run(["ip", "netns", "exec", "", "true"], capture_output=True, text=True, check=False)
    allowed = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    return "" if allowed or "Operation not permitted" not in tried.stderr else "allow CAP_SYS_ADMIN and CAP_NET_ADMIN"


@contextlib.contextmanager
def internet() -> Iterator[Internet]:
    """Make the namespaces; without the means for them the test is skipped, in CI failed."""
    if fix := missing():
        without_client(os.environ, "network namespaces", fix)
    made = Internet(f"vivant{os.getpid()}-")
    try:
        _build(made)
        made.filter()
        yield made
    finally:
        made.close()


def _build(made: Internet) -> None:
    names = ["internet", *(link[0] for link in LINKS)]
    run(["ip", "-batch", "-"], "".join(f"netns add {made.prefix}{name}\n" for name in names))
    at_centre = ["link add road type bridge", "link set road up", f"address add {RELAY}/24 dev road"]
    commands = {name: ["link set lo up"] for name in names}
    commands["internet"] += at_centre
    for number, (name, device, address, other) in enumerate(LINKS):
        far = "lan" if other != "internet" else f"port{number}"
        own = made.prefix + name
        run(["ip", "-n", own, "link", "add", device, "type", "veth", "peer", far, "netns", made.prefix + other])
        commands[name] += [f"address add {address} dev {device}", f"link set {device} up"]
        commands[other] += [f"link set {far} up"]
        commands[other] += [f"link set {far} master road"] if other == "internet" else []
        if name in GATEWAYS:
            commands[other] += [f"address add {GATEWAYS[name]}/24 dev {far}"]
            commands[name] += [f"route add default via {GATEWAYS[name]}"]
    # Packets to private addresses leave the relay and are lost, as on a real one: without a route coturn ends sessions.
    commands["internet"] += [f"route add default via {SERVER}"]
    for name in names:
        run(["ip", "-n", made.prefix + name, "-batch", "-"], "\n".join(commands[name]) + "\n")
    for router in ("server-router", "client-router"):
        # The file under the namespace's own /proc/sys/net.
        run([*made.within(router), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def await_line(process: subprocess.Popen[str], part: str) -> None:
    """Wait until a line of a program's output has this in it."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if part in line:
            return
    raise AssertionError(f"{process.args} ended:\n{''.join(lines)}")


def run(command: Sequence[str], text: str = "") -> str:
    """Run a command that must succeed; gives its output."""
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, (command, text, done.stderr)
    return done.stdout
