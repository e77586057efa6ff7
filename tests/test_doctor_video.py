"""The doctor on video: encoders, GPUs, weights."""

from pathlib import Path

import pytest

from pipeline.config import ModelConfig, WanConfig
from pipeline.wan_files import files
from stream import doctor_video
from stream.config import Config
from stream.doctor_video import check_codecs, check_gpu, check_weights, play, try_nvenc
from stream.finding import Finding
from stream.network import Network, use_network

WAN = Config(model=ModelConfig(kind="wan"))


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def nvidia_smi(folder: Path, output: str, status: int = 0) -> str:
    """Write a program that stands in for the driver's."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


def test_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """This build has what is needed; one that lacks an encoder fails with its name."""
    finding = only(check_codecs())
    assert (finding.verdict, "libx264" in finding.found) == ("ok", True)
    monkeypatch.setattr(doctor_video.av, "codecs_available", {"libx264"})
    finding = only(check_codecs())
    assert (finding.verdict, finding.found.endswith("lacks libvpx")) == ("fail", True)


async def test_gpus_are_listed_with_their_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a line; where the hardware encoder does not open, that is a warning."""
    program = nvidia_smi(tmp_path, "NVIDIA H100, 81559, 80994, 570.1\nNVIDIA L4, 23034, 22563, 570.1")
    for why, verdict in (("", "ok"), ("it has no encoder", "warn")):
        monkeypatch.setattr(doctor_video, "try_nvenc", lambda why=why: why)
        first, second, nvenc = await check_gpu(Config(), program)
        assert first.found == "NVIDIA H100, 80994 of 81559 MiB free, driver 570.1"
        assert second.found.startswith("NVIDIA L4")
        assert (nvenc.subject, nvenc.verdict) == ("nvenc", verdict)


@pytest.mark.parametrize("output", ["", "No devices were found"])
async def test_no_gpu_fails_where_the_model_needs_one(output: str, tmp_path: Path) -> None:
    """Wan on a GPU does, Wan on the CPU and pocket do not; no program at all is the same."""
    for program in (nvidia_smi(tmp_path, output, 6), str(tmp_path / "nowhere")):
        assert only(await check_gpu(Config(), program)).verdict == "ok"
        assert only(await check_gpu(Config(model=WAN.model, wan=WanConfig(device="cpu")), program)).verdict == "ok"
        finding = only(await check_gpu(WAN, program))
        assert (finding.verdict, "driver" in finding.fix) == ("fail", True)


def test_the_hardware_encoder_says_why_it_does_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that opens says nothing; a build without it, and one that the driver refuses, give the reason."""
    monkeypatch.setattr(doctor_video, "NVENC", "libx264")
    assert try_nvenc() == ""
    monkeypatch.setattr(doctor_video, "NVENC", "nosuch")
    assert try_nvenc() == "this FFmpeg has no nosuch"
    monkeypatch.setattr(doctor_video, "NVENC", "libx264")
    monkeypatch.setattr(doctor_video, "NVENC_SIZE", (255, 255))
    assert "libx264 does not open" in try_nvenc()


def test_pocket_has_its_weights(tmp_path: Path) -> None:
    """Its own come with it; a file that is named and is not there fails."""
    assert only(check_weights(Config())).verdict == "ok"
    finding = only(check_weights(Config(model=ModelConfig(weights=str(tmp_path / "none.safetensors")))))
    assert (finding.verdict, "none.safetensors" in finding.found) == ("fail", True)


def test_files_of_wan_are_looked_for_where_they_belong(tmp_path: Path) -> None:
    """What lacks is counted, with the command that fetches it; a whole folder, and random weights, are well."""
    config = Config(model=WAN.model, wan=WanConfig(folder=str(tmp_path)))
    finding = only(check_weights(config))
    assert finding.verdict == "fail"
    assert finding.fix == f"python -m pipeline.download --model wan_1_3b --folder {tmp_path}"
    for file in files("wan_1_3b"):
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as made:
            made.truncate(file.size_bytes)
    assert only(check_weights(config)).verdict == "ok"
    assert only(check_weights(Config(model=ModelConfig(kind="wan", weights="random")))).verdict == "ok"


async def test_play_gives_up_where_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a way between the two there is no first frame, and nothing is left of it."""
    use_network(Network(loopback=False))
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: [])
    monkeypatch.setattr(doctor_video, "PLAY_S", 0.5)
    with pytest.raises(TimeoutError):
        await play("VP8")
    use_network(Network(loopback=True))
