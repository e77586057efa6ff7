"""NVENC: tried before it is used, and replaced where it fails. Most of it with x264 in its place."""

import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
import pytest
from av.error import FFmpegError
from av.video.frame import PictureType

from stream.broadcast import Broadcast
from stream.config import EncoderChoice
from stream.congestion import BitrateBounds
from stream.encoder import EncodedPacket, StreamEncoder, VpxEncoder, X264Encoder, YuvConverter
from stream.nvenc import PROBE_FPS, PROBE_KBPS, Encoders, NvencEncoder, NvencUnusable, SparedEncoder, find_fault

FPS = Fraction(16)
STEP = 5625


def picture(gray: int = 90, width: int = 64, height: int = 32) -> av.VideoFrame:
    """Give a picture of one gray."""
    return YuvConverter().convert(np.full((height, width, 3), gray, np.uint8))


class Hardware(X264Encoder):
    """x264 in the place of NVENC, which may be told how to fail."""

    def __init__(self, fps: Fraction = FPS, kbps: int = 1000, fails: str = "", after: int = 0) -> None:
        super().__init__(fps, kbps, 4000)
        self.fails, self.after = fails, after
        self.closed = False

    def encode(self, picture: av.VideoFrame, pts: int, keyframe: bool = False) -> EncodedPacket | None:
        """Encode, or fail."""
        self.after -= 1
        fails = self.fails if self.after < 0 else ""
        if fails == "raises":
            raise FFmpegError(1, "device lost")
        packet = super().encode(picture, pts + (fails == "late"), keyframe and fails != "deaf")
        return None if fails == "silent" else packet

    def close(self) -> None:
        """Free the codec."""
        self.closed = True
        super().close()


class High(Hardware):
    """Makes H.264 of a profile that not every viewer takes."""

    def _open(self, width: int, height: int) -> Any:
        context = super()._open(width, height)
        context.options = context.options | {"profile": "high", "x264-params": "8x8dct=1:cabac=1"}
        return context


def nvenc_fault() -> str | None:
    """Tell what keeps this machine's NVENC from working."""
    return find_fault(NvencEncoder(PROBE_FPS, PROBE_KBPS))


def test_nvenc_of_this_machine_really_encodes() -> None:
    """What the probe takes is as good as x264: keyframes when asked, one packet a frame, a rate near the one asked."""
    if (fault := nvenc_fault()) is not None:
        pytest.skip(f"NVENC did NOT run: {fault}")
    encoder = NvencEncoder(FPS, 800)
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 255, (240, 416, 3), np.uint8) for _ in range(48)]
    packets = [encoder.encode(YuvConverter().convert(one), at * STEP, at == 20) for at, one in enumerate(frames)]
    assert [at for at, packet in enumerate(packets) if packet is not None and packet.is_keyframe] == [0, 20]
    assert 0.5 * 800 < sum(packet.size for packet in packets[16:] if packet) * 8 / 1000 / 2 < 1.1 * 800


def test_where_there_is_no_nvenc_the_probe_says_why() -> None:
    """The codec is really opened, and what FFmpeg says of it is the reason."""
    fault = nvenc_fault()
    if fault is None:
        pytest.skip("NVENC works here")
    assert len(fault) > 5
    assert fault == nvenc_fault()


def test_the_probe_takes_what_a_stream_needs() -> None:
    """An encoder that does as asked has no fault; it is closed again."""
    encoder = Hardware()
    assert find_fault(encoder) is None
    assert encoder.closed


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        (Hardware(fails="silent"), "keeps frames back"),
        (Hardware(fails="silent", after=2), "keeps frames back"),
        (Hardware(fails="late"), "keeps frames back"),
        (Hardware(fails="deaf"), "keyframes"),
        (Hardware(fails="raises"), "device lost"),
        (High(), "baseline"),
    ],
)
def test_the_probe_finds_what_a_stream_can_not_have(encoder: Hardware, says: str) -> None:
    """Delay, keyframes that do not come, another profile, and of course an error."""
    fault = find_fault(encoder)
    assert fault is not None
    assert says in fault
    assert encoder.closed


def made(choice: EncoderChoice, gpu_is_there: bool, fails: str = "") -> tuple[StreamEncoder, list[Hardware]]:
    """Probe, then make an H.264 encoder; gives it, and what stood in for NVENC."""
    tried: list[Hardware] = []

    def make(fps: Fraction, kbps: int) -> Hardware:
        tried.append(Hardware(fps, kbps, fails))
        return tried[-1]

    encoders = Encoders(choice, make)
    encoders.probe(gpu_is_there)
    assert isinstance(encoders.create("VP8", FPS, 1000, 4000), VpxEncoder)
    return encoders.create("H264", FPS, 1000, 4000), tried


def test_nvenc_is_used_where_it_works(caplog: pytest.LogCaptureFixture) -> None:
    """With ``auto`` and a GPU, or with ``nvenc``; one line tells of it."""
    asked: list[tuple[EncoderChoice, bool]] = [("auto", True), ("nvenc", False)]
    for choice, gpu_is_there in asked:
        caplog.clear()
        with caplog.at_level(logging.INFO, "stream.nvenc"):
            encoder, tried = made(choice, gpu_is_there)
        assert isinstance(encoder, SparedEncoder)
        assert len(tried) == 2
        assert [record.message for record in caplog.records] == ["H.264 is encoded by the GPU (NVENC)"]


def test_x264_is_used_where_nvenc_does_not_work(caplog: pytest.LogCaptureFixture) -> None:
    """Where there is a GPU one line tells why; where there is none nothing is tried and nothing said."""
    with caplog.at_level(logging.INFO, "stream.nvenc"):
        encoder, tried = made("auto", True, "raises")
        assert isinstance(encoder, X264Encoder)
        assert len(tried) == 1
        assert ["device lost" in record.message for record in caplog.records] == [True]
        caplog.clear()
        asked: list[tuple[EncoderChoice, bool]] = [("auto", False), ("x264", True)]
        for choice, gpu_is_there in asked:
            encoder, tried = made(choice, gpu_is_there)
            assert isinstance(encoder, X264Encoder)
            assert tried == []
        assert caplog.records == []


def test_who_insists_on_nvenc_is_told() -> None:
    """``nvenc`` is refused where it does not work, with the key and the cause."""
    with pytest.raises(NvencUnusable, match=r"stream\.encoder.*device lost"):
        made("nvenc", True, "raises")


@pytest.mark.parametrize("fails", ["raises", "silent", "late"])
def test_a_failure_later_costs_no_frame(fails: str, caplog: pytest.LogCaptureFixture) -> None:
    """The frame that failed comes from x264, as a keyframe, and the next ones too; rate and ceiling are kept."""
    hardware: list[Hardware] = []
    spares: list[tuple[Fraction, int]] = []

    def make(fps: Fraction, kbps: int) -> Hardware:
        hardware.append(Hardware(fps, kbps, fails, after=3))
        return hardware[-1]

    def make_spare(fps: Fraction, kbps: int) -> X264Encoder:
        spares.append((fps, kbps))
        return X264Encoder(fps, kbps, 4000)

    encoder = SparedEncoder(make, make_spare, FPS, 1000)
    encoder.set_bitrate(700)
    encoder.set_rate(Fraction(12))
    packets = [encoder.encode(picture(at * 9), at * STEP) for at in range(8)]
    assert [packet.pts for packet in packets if packet is not None] == [at * STEP for at in range(8)]
    assert [at for at, packet in enumerate(packets) if packet is not None and packet.is_keyframe] == [0, 3]
    assert spares == [(Fraction(12), 700)]
    assert hardware[0].closed
    assert len(caplog.records) == 1
    assert encoder.codec == "H264"


async def test_a_stream_outlives_its_nvenc() -> None:
    """Who watches gets every frame, the one at which it failed too."""
    tried: list[Hardware] = []

    def make(fps: Fraction, kbps: int) -> Hardware:
        tried.append(Hardware(fps, kbps, "raises", after=5))
        return tried[-1]

    encoders = Encoders("nvenc", make)
    encoders.probe(True)
    broadcast = Broadcast("s", lambda: 0, FPS, BitrateBounds(1000, 300, 4000), encoders.create)
    subscription = broadcast.subscribe("H264", lossless=True)
    for at in range(12):
        await broadcast.publish(np.full((32, 64, 3), at, np.uint8), at, at * STEP)
    packets = [await subscription.next() for _ in range(12)]
    assert [packet.pts for packet in packets] == [at * STEP for at in range(12)]
    assert [hardware.after for hardware in tried] == [1, -1]
    await broadcast.close()


class FakeContext:
    """What PyAV gives for a codec, as far as an encoder uses it; ``changes`` are the rates set while it runs."""

    def __init__(self, name: str) -> None:
        self.name, self.width, self.height = name, 0, 0
        self.options: dict[str, str] = {}
        self.max_b_frames = -1
        self.changes: list[tuple[int, int]] = []
        self.asked: list[bool] = []
        self._bit_rate = 0

    @property
    def bit_rate(self) -> int:
        """Bits a second."""
        return self._bit_rate

    @bit_rate.setter
    def bit_rate(self, bits: int) -> None:
        if self._bit_rate:
            self.changes.append((len(self.asked), bits))
        self._bit_rate = bits

    def encode(self, picture: av.VideoFrame) -> list[EncodedPacket]:
        """Note whether a keyframe is asked for."""
        self.asked.append(picture.pict_type == PictureType.I)
        return [cast(EncodedPacket, av.Packet(b"x"))]


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[FakeContext]:
    """The codecs opened, none of them real."""
    opened: list[FakeContext] = []

    def create(name: str, mode: str) -> FakeContext:
        opened.append(FakeContext(name))
        return opened[-1]

    monkeypatch.setattr("stream.encoder.av.CodecContext.create", create)
    return opened


def run(encoder: StreamEncoder, frames: range, keyframe: Callable[[int], bool] = lambda at: False) -> None:
    """Encode these frames."""
    for at in frames:
        encoder.encode(picture(), at * STEP, keyframe(at))


def test_nvenc_is_opened_for_live_video(contexts: list[FakeContext]) -> None:
    """No B-frames, no delay, baseline, constant rate with a short buffer, keyframes that begin anew when asked."""
    encoder = NvencEncoder(FPS, 1000)
    run(encoder, range(4), lambda at: at == 2)
    (context,) = contexts
    assert context.name == "h264_nvenc"
    assert context.max_b_frames == 0
    wanted = {"tune": "ull", "profile": "baseline", "rc": "cbr", "delay": "0", "zerolatency": "1", "forced-idr": "1"}
    assert wanted.items() <= context.options.items()
    assert context.bit_rate == 950_000
    assert int(context.options["bufsize"]) == context.bit_rate // 4
    assert context.asked == [False, False, True, False]


def test_nvenc_follows_large_changes_in_place(contexts: list[FakeContext]) -> None:
    """Each costs a keyframe: small ones are left out, a fall waits for a second, a rise for four."""
    encoder = NvencEncoder(FPS, 1000)
    run(encoder, range(40))
    encoder.set_bitrate(900)
    run(encoder, range(40, 60))
    encoder.set_bitrate(800)
    run(encoder, range(60, 62))
    encoder.set_bitrate(500)
    run(encoder, range(62, 90))
    encoder.set_bitrate(1000)
    run(encoder, range(90, 160))
    (context,) = contexts
    assert context.changes == [(60, 760_000), (76, 475_000), (140, 950_000)]
