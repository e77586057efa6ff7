"""What a stream refuses, as one exception with the codes of the wire contract."""

from typing import Any

from pipeline.errors import PipelineError

CODES: dict[str, tuple[int, bool]] = {
    "bad_json": (400, False),
    "bad_message": (400, False),
    "bad_offer": (400, False),
    "unknown_type": (400, False),
    "unsupported_protocol": (400, False),
    "unauthorized": (401, False),
    "forbidden_origin": (403, False),
    "not_found": (404, False),
    "method_not_allowed": (405, False),
    "not_acceptable": (406, False),
    "upload_timeout": (408, True),
    "wrong_state": (409, False),
    "no_image": (409, False),
    "upload_in_progress": (409, True),
    "too_long": (413, False),
    "image_too_large": (413, False),
    "unsupported_media_type": (415, False),
    "image_unsupported": (415, False),
    "image_corrupt": (422, False),
    "image_hash_mismatch": (422, False),
    "unprocessable": (422, False),
    "rate_limited": (429, True),
    "internal": (500, True),
    "not_supported": (501, False),
    "bad_gateway": (502, True),
    "at_capacity": (503, True),
}
"""Code -> (HTTP status, retryable); retryable where the client need only wait, or send the same again."""


class StreamError(Exception):
    """A refusal with a code of the contract and a sentence that says what to do.

    ``extra`` is what the reply carries besides (``ahead``, ``status`` of a far end), or what its sender needs (``id``,
    ``retry_after`` in seconds). Raises KeyError for a code that :data:`CODES` lacks.

    >>> error = StreamError("at_capacity", "One stream runs before yours; try again soon.", ahead=1)
    >>> error.status, error.retryable, error.extra
    (503, True, {'ahead': 1})
    """

    def __init__(self, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status, self.retryable = CODES[code]
        self.code = code
        self.message = message
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # The engine may run in another process; the default would call __init__ with the message alone.
        return _rebuild, (self.code, self.message, self.extra)


def _rebuild(code: str, message: str, extra: dict[str, Any]) -> StreamError:
    return StreamError(code, message, **extra)


def words_of(error: BaseException) -> str:
    """Give what whoever watches is told of an error that was foreseen; empty for another."""
    if isinstance(error, StreamError):
        return error.message
    return str(error) if isinstance(error, PipelineError) else ""
