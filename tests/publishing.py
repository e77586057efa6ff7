"""A WebRTC client that publishes, for tests: a camera of one colour that can change its size."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCCertificate, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from stream.ice import connection_configuration
from stream.network import Network, use_network
from stream.silence import SilentTrack
from tests.loopback import Client

STEP = 3000
FRAME_S = 1 / 30


class Camera(MediaStreamTrack):
    """Thirty frames a second of one gray."""

    kind = "video"

    def __init__(self, gray: int, width: int = 320, height: int = 240) -> None:
        super().__init__()
        self.gray, self.width, self.height = gray, width, height
        self._pts = 0

    async def recv(self) -> Any:
        """Give the next frame when it is due."""
        await asyncio.sleep(FRAME_S)
        frame = av.VideoFrame.from_ndarray(np.full((self.height, self.width, 3), self.gray, np.uint8), format="rgb24")
        self._pts += STEP
        frame.pts, frame.time_base = self._pts, Fraction(1, 90_000)
        return frame


class Broadcaster(Client):
    """Somebody who publishes a camera, and if told so an Opus track that is silent."""

    def __init__(self, codec: str = "VP8", gray: int = 90, audio: bool = False, rsa: bool = False) -> None:
        use_network(Network(loopback=True))
        self.connection = RTCPeerConnection(connection_configuration([]))
        if rsa:
            show_rsa_certificate(self.connection)
        self.channel = None
        self._reader = None
        self.camera = Camera(gray)
        video = self.connection.addTransceiver(self.camera, direction="sendonly")
        known = get_capabilities("video").codecs
        video.setCodecPreferences([one for one in known if one.mimeType == f"video/{codec}"])
        self.sender = video.sender
        if audio:
            self.connection.addTransceiver(SilentTrack(), direction="sendonly")

    async def accept(self, answer: str) -> None:
        """Take the server's answer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

    def vanish(self) -> None:
        """Be gone without a word, like a process that was killed."""
        for protocol in self.sender.transport.transport._connection._protocols:
            protocol.transport.abort()

    def begin_late(self, frames: int) -> None:
        """Lose the first frames, keyframe and all, like one who was sending already."""
        send_rtp, seen = self.sender.transport._send_rtp, set[bytes]()

        async def send_late(data: bytes) -> None:
            is_rtcp = 192 <= data[1] <= 223
            seen.update([] if is_rtcp else [data[4:8]])
            if is_rtcp or len(seen) > frames:
                await send_rtp(data)

        self.sender.transport._send_rtp = send_late


def show_rsa_certificate(connection: RTCPeerConnection) -> None:
    """Have a connection show a certificate such as GStreamer's, and like it speak RSA ciphers alone."""
    certificate = rsa_certificate()
    create: Callable[..., Any] = certificate._create_ssl_context

    def create_ssl_context(*args: Any, **kwargs: Any) -> Any:
        context = create(*args, **kwargs)
        context.set_cipher_list(b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
        return context

    certificate._create_ssl_context = create_ssl_context
    connection._RTCPeerConnection__certificates[:] = [certificate]  # pyright: ignore
    for transceiver in connection.getTransceivers():
        transceiver.receiver.transport._RTCDtlsTransport__local_certificate = certificate  # pyright: ignore


def rsa_certificate() -> RTCCertificate:
    """Make a certificate with an RSA key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rsa")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return RTCCertificate(key=key, cert=builder.sign(key, hashes.SHA256()))  # pyright: ignore
