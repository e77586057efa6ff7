"""How a picture's bytes come in, message by message."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import StreamError
from stream.protocol import Limits, UploadImage
from stream.upload import PROGRESS_BYTES, Complete, Progress, Upload

MESSAGE = 65_536
LIMITS = Limits(image_bytes=1_000_000)
DATA = bytes(range(256)) * 1200  # 307,200 bytes


def announce(data: bytes, id: int = 1, size: int | None = None, sha256: str | None = None) -> UploadImage:
    """Announce data, truthfully unless told otherwise."""
    digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
    return UploadImage(id, len(data) if size is None else size, "image/png", digest)


def pieces(data: bytes, length: int = MESSAGE) -> list[bytes]:
    """Cut data as a client does."""
    return [data[at : at + length] for at in range(0, len(data), length)]


def send(upload: Upload, data: bytes, now: float = 0.0) -> list[Progress | Complete]:
    """Feed all of data and collect what comes of it."""
    return [result for piece in pieces(data) if (result := upload.feed(piece, now)) is not None]


def begun(message: UploadImage, now: float = 0.0) -> Upload:
    """Give an upload that has begun."""
    upload = Upload(LIMITS)
    upload.begin(message, now)
    return upload


def refusal(upload: Upload, message: UploadImage, now: float = 0.0) -> StreamError:
    """Announce what must be refused."""
    with pytest.raises(StreamError) as caught:
        upload.begin(message, now)
    return caught.value


def test_whole_upload_completes_with_the_last_byte() -> None:
    """The last byte gives the message and all bytes; before it, progress comes now and then."""
    message = announce(DATA)
    *progress, last = send(begun(message), DATA)
    assert progress == [Progress(message, 2 * MESSAGE), Progress(message, 4 * MESSAGE)]
    assert last == Complete(message, DATA)


@given(st.binary(min_size=1, max_size=300), st.data())
def test_result_does_not_depend_on_the_cuts(data: bytes, cuts: st.DataObject) -> None:
    """However the bytes are cut, empty messages included, they complete once, with the last one."""
    at = sorted(cuts.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    upload = begun(announce(data))
    results = [upload.feed(data[a:b], 0.0) for a, b in zip([0, *at], [*at, len(data)], strict=True)]
    complete = [result for result in results if isinstance(result, Complete)]
    assert [result.data for result in complete] == [data]


def test_progress_counts_bytes_received() -> None:
    """Progress grows, stays below the size, and comes at most once in PROGRESS_BYTES."""
    message = announce(DATA)
    upload = begun(message)
    progress = [result for piece in pieces(DATA, 1000) if isinstance(result := upload.feed(piece, 0), Progress)]
    assert len(progress) == len(DATA) // PROGRESS_BYTES
    assert [result.received // PROGRESS_BYTES for result in progress] == [1, 2]


def test_hash_in_capitals_is_the_same_hash() -> None:
    """Hexadecimal digits may be upper case."""
    message = announce(DATA, sha256=hashlib.sha256(DATA).hexdigest().upper())
    assert send(begun(message), DATA)[-1] == Complete(message, DATA)


def test_wrong_hash_is_refused_with_the_last_byte() -> None:
    """Bytes that do not match their hash are refused, and the next upload may begin at once."""
    upload = begun(announce(b"abc", id=5, sha256="0" * 64))
    with pytest.raises(StreamError) as caught:
        upload.feed(b"abc", 0.0)
    assert (caught.value.code, caught.value.extra) == ("image_hash_mismatch", {"id": 5})
    upload.begin(announce(b"abc", id=6), 0.0)
    assert upload.feed(b"abc", 0.0) == Complete(announce(b"abc", id=6), b"abc")


def test_declared_size_above_the_limit_is_refused_before_any_byte() -> None:
    """The declared size alone decides; a size of exactly the limit is taken."""
    error = refusal(Upload(LIMITS), announce(b"", id=3, size=LIMITS.image_bytes + 1))
    assert (error.code, error.extra) == ("image_too_large", {"id": 3})
    assert refusal(Upload(LIMITS), announce(b"", size=2**80)).code == "image_too_large"
    begun(announce(b"", size=LIMITS.image_bytes))


def test_empty_file_is_refused_and_over() -> None:
    """A file of no bytes is corrupt, and nothing is awaited of it."""
    upload = Upload(LIMITS)
    assert refusal(upload, announce(b"", id=4)).code == "image_corrupt"
    assert upload.deadline is None


def test_bytes_of_a_refused_upload_are_swallowed() -> None:
    """What still comes of a refused upload is dropped in silence; the next one gets its own bytes."""
    upload = Upload(Limits(image_bytes=100_000))
    refusal(upload, announce(DATA))
    assert send(upload, DATA) == []
    message = announce(b"good", id=2)
    upload.begin(message, 0.0)
    assert upload.feed(b"good", 0.0) == Complete(message, b"good")


def test_upload_may_follow_a_refusal_that_stopped_the_sender() -> None:
    """A client that heard the refusal and sent nothing begins anew at once."""
    upload = Upload(Limits(image_bytes=100_000))
    refusal(upload, announce(DATA))
    message = announce(b"good", id=2)
    upload.begin(message, 0.0)
    assert upload.feed(b"good", 0.0) == Complete(message, b"good")


def test_upload_in_the_midst_of_a_refused_one_is_refused() -> None:
    """While a refused upload's bytes come, another one is refused: whose bytes come next would be unclear."""
    upload = Upload(Limits(image_bytes=100_000))
    refusal(upload, announce(DATA))
    upload.feed(DATA[:1000], 1.0)
    assert refusal(upload, announce(b"good", id=2), 2.0).code == "upload_in_progress"
    assert upload.expired(10.9) is None
    assert refusal(upload, announce(b"good", id=3), 10.9).code == "upload_in_progress"
    assert upload.expired(11.0) is None
    upload.begin(announce(b"good", id=4), 11.0)


def test_second_upload_leaves_the_first_going() -> None:
    """A second upload is refused under its own id; the first completes as if nothing had been."""
    first = announce(DATA, id=1)
    upload = begun(first)
    send(upload, DATA[:MESSAGE])
    error = refusal(upload, announce(b"other", id=2))
    assert (error.code, error.extra, error.retryable) == ("upload_in_progress", {"id": 2}, True)
    assert upload.message == first
    assert send(upload, DATA[MESSAGE:])[-1] == Complete(first, DATA)


def test_second_upload_is_refused_before_the_first_byte_too() -> None:
    """An upload is in progress from its announcement on."""
    upload = begun(announce(DATA))
    assert refusal(upload, announce(DATA, id=2)).code == "upload_in_progress"


def test_surplus_bytes_are_dropped() -> None:
    """Bytes beyond the announced size belong to nobody, also within the last message."""
    message = announce(b"abc")
    upload = begun(message)
    assert upload.feed(b"abcdef", 0.0) == Complete(message, b"abc")
    assert upload.feed(b"ghi", 0.0) is None


def test_bytes_without_an_upload_are_dropped() -> None:
    """A binary message that nobody announced changes nothing."""
    upload = Upload(LIMITS)
    assert upload.feed(b"abc", 0.0) is None
    assert (upload.deadline, upload.message) == (None, None)


def test_message_over_its_limit_refuses_the_upload() -> None:
    """A binary message of more than 65,536 bytes ends the upload; the rest is swallowed."""
    upload = begun(announce(DATA, id=7))
    with pytest.raises(StreamError) as caught:
        upload.feed(DATA[: MESSAGE + 1], 0.0)
    assert (caught.value.code, caught.value.extra) == ("bad_message", {"id": 7})
    assert send(upload, DATA[MESSAGE + 1 :]) == []
    upload.begin(announce(b"next"), 0.0)


def test_silence_times_out_once() -> None:
    """Ten seconds without a byte end an upload; a byte puts that off, an empty message does not."""
    upload = begun(announce(DATA, id=8), now=100.0)
    assert upload.deadline == 110.0
    upload.feed(b"", 104.0)
    assert upload.deadline == 110.0
    upload.feed(DATA[:10], 105.0)
    assert upload.expired(114.9) is None
    error = upload.expired(115.0)
    assert error is not None
    assert (error.code, error.extra, error.retryable) == ("upload_timeout", {"id": 8}, True)
    assert upload.expired(115.1) is None


def test_bytes_after_a_timeout_are_swallowed() -> None:
    """The late rest of a timed-out upload is dropped, and gets no second error; then the channel is free."""
    upload = begun(announce(DATA), now=0.0)
    upload.feed(DATA[:10], 1.0)
    assert upload.expired(11.0) is not None
    assert send(upload, DATA[10:1000], 12.0) == []
    assert upload.expired(22.0) is None
    assert upload.deadline is None


def test_no_deadline_while_nothing_is_awaited() -> None:
    """A completed upload awaits nothing."""
    upload = begun(announce(b"abc"))
    upload.feed(b"abc", 1.0)
    assert upload.deadline is None
    assert upload.expired(1e9) is None
