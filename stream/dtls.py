"""DTLS towards certificates that aiortc's own do not take."""

from typing import Any

from aiortc import RTCPeerConnection

ECDSA = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
RSA = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"


def accept_rsa(connection: RTCPeerConnection) -> None:
    """Let a connection be DTLS client of a peer with an RSA certificate, such as GStreamer's.

    aiortc asks for ECDSA ciphers alone, with which a server can't show any other certificate. To be removed when
    aiortc takes the ciphers as a parameter.
    """
    for certificate in connection._RTCPeerConnection__certificates:  # pyright: ignore[reportAttributeAccessIssue]
        create = certificate._create_ssl_context

        def create_ssl_context(*args: Any, create: Any = create, **kwargs: Any) -> Any:
            context = create(*args, **kwargs)
            context.set_cipher_list(f"{ECDSA}:{RSA}".encode())
            return context

        certificate._create_ssl_context = create_ssl_context
