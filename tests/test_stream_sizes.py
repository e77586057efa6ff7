"""The size of a stream: that of its picture from a start or reset on, and of nothing that comes later."""

import hashlib
import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from stream.kept import kept_of, told
from stream.last_checkpoint import LastCheckpoint
from stream.protocol import Bookmark, Reset, Rewind, Start, Stop, UploadImage, UseFrame
from tests.fakes import FakeSink, SwappingFake
from tests.studio import Studio
from tests.test_bookmarks import answered

WIDE, TALL, EVEN = (64, 32), (32, 64), (48, 48)


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio(pipeline=SwappingFake(more_sizes=(TALL, EVEN)))
    yield studio
    await studio.close()


async def upload(studio: Studio, width: int, height: int, **entry: object) -> dict[str, object]:
    """Give the stream a grey picture of this size, and the reply."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 90, 90)).save(buffer, "PNG")
    data = buffer.getvalue()
    studio.last_id += 1
    digest = hashlib.sha256(data).hexdigest()
    message = UploadImage(studio.last_id, len(data), "image/png", digest, **entry)  # type: ignore[arg-type]
    await studio.stream.handle(studio.director, message)
    await studio.stream.upload_complete(studio.director, message, data)
    return next(one for one in studio.director.of("image_uploaded") if one["id"] == message.id)


def size_told(studio: Studio) -> tuple[int, int]:
    """What directors were told of it last; what is not told is the model's first."""
    width, height = studio.director.of("state")[-1].get("size", WIDE)
    return width, height


def sizes(sink: FakeSink) -> list[tuple[int, int]]:
    """The sizes of the frames that were sent, each when it changes."""
    found: list[tuple[int, int]] = []
    for pixels in sink.pixels:
        size = (pixels.shape[1], pixels.shape[0])
        if found[-1:] != [size]:
            found.append(size)
    return found


@pytest.mark.parametrize(("picture", "size"), [((300, 200), WIDE), ((200, 300), TALL), ((200, 210), EVEN)])
async def test_a_stream_has_the_shape_of_its_picture(
    studio: Studio, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    """Of all sizes it takes the nearest, says so before the start, and cuts off no more than the difference."""
    uploaded = await upload(studio, *picture)
    assert size_told(studio) == size
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    assert sizes(studio.sink) == [size]
    left, top, right, bottom = uploaded["cropped"]  # type: ignore[misc]
    kept = (picture[0] - left - right) / (picture[1] - top - bottom)
    assert kept == pytest.approx(size[0] / size[1], rel=0.01)
    assert min(left + right, top + bottom) == 0


@pytest.mark.parametrize("policy", ["cut", "flush", "blend"])
async def test_a_picture_that_comes_while_live_is_cropped_to_the_size_in_force(studio: Studio, policy: str) -> None:
    """Viewers' video does not turn, however the picture comes in; a reset then gives it its own shape."""
    await upload(studio, 300, 200)
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    uploaded = await upload(studio, 200, 300, policy=policy)
    assert uploaded["cropped"] == [0, 100, 0, 100]
    await studio.clock.advance(2.0)
    assert sizes(studio.sink) == [WIDE]
    assert size_told(studio) == WIDE
    reset = await studio.do(Reset)
    await studio.clock.advance(2.0)
    assert sizes(studio.sink) == [WIDE, TALL]
    assert size_told(studio) == TALL
    first = studio.answer(reset)["frame"]
    shown = {index: pixels.shape for (_, index, _), pixels in zip(studio.sink.frames, studio.sink.pixels, strict=True)}
    assert (shown[first - 1], shown[first]) == ((32, 64, 3), (64, 32, 3))


async def test_a_start_after_a_stop_looks_at_the_picture_again(studio: Studio) -> None:
    """A picture that came while nothing ran is shown whole by the next start."""
    await upload(studio, 300, 200)
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    await studio.do(Stop)
    assert (await upload(studio, 200, 400))["cropped"] == [0, 0, 0, 0]
    assert size_told(studio) == TALL
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    assert sizes(studio.sink) == [WIDE, TALL]


async def test_the_frame_on_air_is_as_large_as_the_stream(studio: Studio) -> None:
    """It is made a picture whole, in a portrait too."""
    await upload(studio, 200, 300)
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    await studio.do(UseFrame)
    await studio.captured()
    picture = studio.stream.generation.control.picture
    assert picture is not None
    assert (picture.width, picture.height, picture.cropped) == (32, 64, (0, 0, 0, 0))


async def play_tall_with_wide(studio: Studio) -> None:
    """A portrait's video into which a landscape came."""
    await upload(studio, 200, 300)
    await studio.do(Start, seed=1)
    await studio.clock.advance(1.0)
    await upload(studio, 300, 200)
    await studio.clock.advance(1.0)


async def test_a_bookmark_knows_its_size(studio: Studio) -> None:
    """What is gone back to has the size that it had then, whatever picture came later; so has what was kept of it."""
    await play_tall_with_wide(studio)
    bookmark = (await answered(studio, await studio.do(Bookmark, name="here")))["bookmark"]
    restart = studio.stream.bookmarks.find(bookmark).restart
    assert restart.size == TALL
    await studio.do(Reset)
    await studio.clock.advance(1.0)
    await studio.do(Rewind, bookmark=bookmark)
    await studio.clock.advance(1.0)
    assert sizes(studio.sink) == [TALL, WIDE, TALL]


async def test_what_is_kept_of_a_stream_knows_its_size(studio: Studio) -> None:
    """A portrait with a landscape in it goes on as a portrait after a restart; what was kept earlier tells of none."""
    await play_tall_with_wide(studio)
    checkpoint: LastCheckpoint = studio.stream.checkpoint
    checkpoint.made(b"saved", 7, 7)
    kept = checkpoint._kept("model")
    assert kept is not None
    files: dict[str, object] = {}

    def keep(value: object) -> str:
        files[str(len(files))] = value
        return str(len(files) - 1)

    again = told(kept, keep)
    assert kept_of(again, files.__getitem__).asked.size == TALL  # type: ignore[arg-type]
    del again["asked"]["size"]
    assert kept_of(again, files.__getitem__).asked.size is None  # type: ignore[arg-type]
