"""The doctor's command line: a line for each finding, and a status that scripts can use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stream import doctor
from stream.finding import Finding

ROOT = Path(__file__).parents[1]


def test_a_machine_that_is_well() -> None:
    """As a program: nothing fails, the status is 0, every subject is there."""
    command = [sys.executable, "-m", "stream.doctor", "server.port=0", "server.udp_ports=42000-42299", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert [one for one in found if one["verdict"] == "fail"] == []
    subjects = [one["subject"] for one in found]
    wanted = "python packages codecs configuration http tls udp+ports candidates ice+servers webrtc gpu weights"
    assert {*subjects} >= {name.replace("+", " ") for name in wanted.split()}
    assert {"H264", "VP8"} == {one["found"].split()[0] for one in found if one["subject"] == "webrtc"}


def test_a_wrong_configuration_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """It fails with the sentence that the server would say; what needs no configuration is looked at all the same."""
    assert doctor.main(["server.prot=1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("fail  configuration: unknown key 'server.prot': did you mean server.port?")
    assert "configs/pocket.yaml" in lines[-1]
    assert any(line.startswith("ok    codecs: ") for line in lines)


@pytest.mark.parametrize("arguments", [["--frobnicate"], ["a.yaml", "b.yaml"]])
def test_misuse(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What it does not know is answered with the usage, and status 2."""
    assert doctor.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: python -m stream.doctor")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for help it prints the usage and ends well."""
    assert doctor.main(["--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_a_warning_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The status is 1 for a ``fail`` alone, and each finding is one line with its fix."""
    for verdict, status in (("ok", 0), ("warn", 0), ("fail", 1)):

        async def examine(*_: object, verdict: str = verdict):
            yield Finding(verdict, "thing", "as it is", "something")  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr(doctor, "examine", examine)
        assert doctor.main([]) == status
        assert capsys.readouterr().out == f"{verdict:<4}  thing: as it is. Do: something\n"
