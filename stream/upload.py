"""Takes a picture's bytes from a control channel, message by message; no I/O, no clock of its own."""

import hashlib
from dataclasses import dataclass

from stream.errors import StreamError
from stream.protocol import MESSAGE_BYTES, Limits, UploadImage

PROGRESS_BYTES = 131_072


@dataclass(frozen=True, slots=True)
class Progress:
    """So many bytes of an upload have come."""

    message: UploadImage
    received: int


@dataclass(frozen=True, slots=True)
class Complete:
    """An upload whose bytes have all come and hash as announced."""

    message: UploadImage
    data: bytes


class Upload:
    """The uploads of one channel, one at a time.

    Bytes that belong to no upload, or to a refused one, are swallowed in silence. Times are seconds on
    one monotonic clock of the caller's choice. What is raised names the upload in ``extra["id"]``.
    """

    def __init__(self, limits: Limits, timeout_s: float = 10.0) -> None:
        self._limits = limits
        self.timeout_s = timeout_s
        self._message: UploadImage | None = None
        self._left = 0
        self._left_at_refusal: int | None = None
        self._last_byte = 0.0
        self._data = bytearray()
        self._hash = hashlib.sha256()

    @property
    def message(self) -> UploadImage | None:
        """The upload begun last, refused ones too: the one that :meth:`feed` and :meth:`expired` speak of."""
        return self._message

    @property
    def deadline(self) -> float | None:
        """When to ask :meth:`expired`; None while no byte is awaited."""
        return self._last_byte + self.timeout_s if self._left else None

    def begin(self, message: UploadImage, now: float) -> None:
        """Announce an upload.

        Raises StreamError: ``upload_in_progress`` while another one comes, which goes on and stays
        :attr:`message`; ``image_too_large``, or ``image_corrupt`` for a file of no bytes.
        """
        # Who has sent nothing since a refusal has heard it and stopped, and may try again at once.
        if self._left and self._left != self._left_at_refusal:
            text = "Wait until the upload under way has ended, then send this picture."
            raise StreamError("upload_in_progress", text, id=message.id)
        self._message, self._left, self._left_at_refusal, self._last_byte = message, message.size, None, now
        self._data, self._hash = bytearray(), hashlib.sha256()
        if message.size > self._limits.image_bytes:
            limit = self._limits.image_bytes
            raise self._refuse("image_too_large", f"A picture may have {limit} bytes, not {message.size}.")
        if message.size == 0:
            raise self._refuse("image_corrupt", "The file is empty; choose another picture.")

    def feed(self, data: bytes, now: float) -> Progress | Complete | None:
        """Take one binary message; give Complete with the last byte, Progress now and then.

        Raises StreamError: ``image_hash_mismatch`` with the last byte, ``bad_message`` for a message of
        more than 65,536 bytes.
        """
        message = self._message
        if message is None or not data or not self._left:
            return None
        piece = data[: self._left]
        self._left -= len(piece)
        self._last_byte = now
        if self._left_at_refusal is not None:
            return None
        if len(data) > MESSAGE_BYTES:
            text = f"A binary message may have {MESSAGE_BYTES} bytes, not {len(data)}; send smaller pieces."
            raise self._refuse("bad_message", text)
        self._data += piece
        self._hash.update(piece)
        received = message.size - self._left
        if self._left:
            return Progress(message, received) if received % PROGRESS_BYTES < len(piece) else None
        if self._hash.hexdigest() != message.sha256.lower():
            raise self._refuse("image_hash_mismatch", "The bytes do not match `sha256`; send them again.")
        data, self._data = bytes(self._data), bytearray()
        return Complete(message, data)

    def expired(self, now: float) -> StreamError | None:
        """Give ``upload_timeout`` when :attr:`deadline` has passed; a refused upload ends in silence."""
        if self.deadline is None or now < self.deadline:
            return None
        if self._left_at_refusal is not None:
            self._left = 0
            return None
        self._last_byte = now
        text = f"No byte of the picture came for {self.timeout_s:g} s; send it again."
        return self._refuse("upload_timeout", text)

    def _refuse(self, code: str, text: str) -> StreamError:
        self._left_at_refusal = self._left
        self._data = bytearray()
        return StreamError(code, text, id=None if self._message is None else self._message.id)
