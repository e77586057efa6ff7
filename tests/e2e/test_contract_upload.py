"""The wire contract's picture upload, clause by clause, by a client written from that page alone."""

import asyncio
import hashlib
import io
import zlib
from typing import Any

import pytest
from PIL import Image

from tests.contract import (
    FAKE,
    Peer,
    Server,
    described,
    directing,
    encoded,
    http,
    noise,
    picture,
    png,
    png_chunk,
)

GIF = encoded(Image.new("P", (20, 10)), "GIF")
JPEG = encoded(Image.linear_gradient("L").convert("RGB"), "JPEG", quality=90)
WEBP = encoded(Image.linear_gradient("L").convert("RGB"), "WEBP")
PNG = encoded(Image.linear_gradient("L").convert("RGB"))
TRANSPARENT = encoded(Image.new("RGBA", (200, 100), (255, 255, 255, 0)))
END = png_chunk(b"IEND", b"")
BOMB = png(50_000, 50_000, b"\x00" * 1000)
TEXT_BOMB = PNG[:33] + png_chunk(b"zTXt", b"a\x00\x00" + zlib.compress(bytes(50_000_000), 9)) + PNG[33:]


def rotated(orientation: int) -> bytes:
    image = Image.new("RGB", (200, 100), (9, 9, 9))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "JPEG", exif=exif)


def several(kind: str) -> bytes:
    """A file of two pictures: an MPO as phones write it, an animation."""
    first, second = Image.new("RGB", (200, 100), (60, 0, 0)), Image.new("RGB", (200, 100), (0, 90, 0))
    return encoded(first, kind, save_all=True, append_images=[second])


def corrupt_crc(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 10
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


GOOD = {
    "PNG": (picture(), (200, 100)),
    "JPEG": (picture(kind="JPEG"), (200, 100)),
    "progressive": (encoded(Image.new("RGB", (200, 100)), "JPEG", progressive=True), (200, 100)),
    "CMYK": (encoded(Image.new("CMYK", (200, 100)), "JPEG"), (200, 100)),
    "gray JPEG": (encoded(Image.new("L", (200, 100)), "JPEG"), (200, 100)),
    "WebP": (picture(kind="WEBP"), (200, 100)),
    "lossless WebP": (encoded(Image.new("RGBA", (200, 100)), "WEBP", lossless=True), (200, 100)),
    "gray": (encoded(Image.new("L", (200, 100))), (200, 100)),
    "bitmap": (encoded(Image.new("1", (200, 100))), (200, 100)),
    "16 bit": (encoded(Image.new("I;16", (200, 100))), (200, 100)),
    "palette": (encoded(Image.new("P", (200, 100)), transparency=0), (200, 100)),
    "gray and alpha": (encoded(Image.new("LA", (200, 100))), (200, 100)),
    "turned": (rotated(6), (100, 200)),
    "mirrored": (rotated(2), (200, 100)),
    "bad orientation": (rotated(77), (200, 100)),
    "MPO": (several("MPO"), (200, 100)),
    "APNG": (several("PNG"), (200, 100)),
    "moving WebP": (several("WEBP"), (200, 100)),
    "one pixel": (picture(size=(1, 1)), (1, 1)),
    "thin": (picture(size=(1, 3000)), (1, 3000)),
    "wide": (picture(size=(3000, 1)), (3000, 1)),
    "bytes after the end": (JPEG + b"\x00" * 100, (256, 256)),
}
BAD = {
    "GIF": (GIF, "image_unsupported"),
    "BMP": (encoded(Image.new("RGB", (20, 10)), "BMP"), "image_unsupported"),
    "TIFF": (encoded(Image.new("RGB", (20, 10)), "TIFF"), "image_unsupported"),
    "text": (b"not a picture at all, but some text", "image_unsupported"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image_unsupported"),
    "PNG without IEND": (PNG.removesuffix(END), "image_corrupt"),
    "PNG with half an IEND": (PNG[:-6], "image_corrupt"),
    "PNG cut": (PNG[: len(PNG) // 2], "image_corrupt"),
    "PNG head": (PNG[:8], "image_corrupt"),
    "PNG header": (PNG[:33], "image_corrupt"),
    "PNG with too little data": (png(100, 100, bytes(500)), "image_corrupt"),
    "PNG with a wrong sum": (corrupt_crc(PNG), "image_corrupt"),
    "PNG of no size": (png(0, 0, b""), "image_corrupt"),
    "JPEG cut": (JPEG[: len(JPEG) // 2], "image_corrupt"),
    "JPEG without its end": (JPEG[:-2], "image_corrupt"),
    "JPEG less a little": (JPEG[:-40], "image_corrupt"),
    "JPEG head": (JPEG[:4], "image_corrupt"),
    "WebP cut": (WEBP[: len(WEBP) // 2], "image_corrupt"),
    "WebP less a byte": (WEBP[:-3], "image_corrupt"),
    "bomb": (BOMB, "image_too_large"),
    "bomb of pixels": (png(8000, 5001, b""), "image_too_large"),
    "bomb beyond": (png(2**31 - 1, 2**31 - 1, b""), "image_too_large"),
}


async def stalled(peer: Peer, data: bytes, sent: int) -> int:
    """Begin an upload and stop in the middle."""
    id = peer.send("upload_image", **described(data))
    peer.send_bytes(data[:sent])
    return id


@pytest.mark.parametrize("kind", GOOD)
async def test_good_pictures(server: Server, kind: str) -> None:
    """JPEG, PNG and WebP of every kind are taken, upright, with the right size and hash, whatever is declared."""
    data, (width, height) = GOOD[kind]
    async with directing(server) as peer:
        uploaded = await peer.upload(data, name="x.gif")
        assert (uploaded["width"], uploaded["height"]) == (width, height)
        assert uploaded["sha256"] == hashlib.sha256(data).hexdigest()
        left, top, right, bottom = uploaded["cropped"]
        assert all(type(side) is int and side >= 0 for side in uploaded["cropped"])
        assert left + right < width
        assert top + bottom < height
        assert abs(left - right) <= 1
        assert abs(top - bottom) <= 1
        assert not (left + right > 1 and top + bottom > 1)
        await peer.state(image={key: uploaded[key] for key in ("sha256", "width", "height")})


async def test_bad_pictures(server: Server) -> None:
    """Each bad picture has its code, and the picture in use stays, and the stream plays on."""
    async with directing(server) as peer:
        started = await peer.live(picture(30))
        for kind, (data, code) in BAD.items():
            id = peer.send("upload_image", **described(data))
            peer.send_bytes(data)
            reply = await peer.reply(id)
            assert reply.get("code") == code, (kind, reply)
        text = await peer.upload(TEXT_BOMB, "")
        assert text["type"] == "image_uploaded" or text["code"] == "image_corrupt", text
        body = (await http("GET", peer.stream)).json
        assert body["state"] == "live"
        if text["type"] == "error":
            assert body["image"]["sha256"] == hashlib.sha256(picture(30)).hexdigest()
        applied = await peer.reply(peer.send("set_prompt", prompt="x"), "prompt_applied")
        if text["type"] == "error":
            await peer.is_shown(applied, 30, started["frame"])


async def test_cropped(server: Server) -> None:
    """``cropped`` is what is cut from each side so that the picture covers the stream's size."""
    width, height = (await http("GET", f"{server.url}/capabilities")).json["sizes"][0]
    async with directing(server) as peer:
        square = await peer.upload(picture(size=(1000, 1000)))
        if FAKE:
            spare = (1000 - 1000 * height / width) / 2
            assert square["cropped"] == pytest.approx([0, spare, 0, spare], abs=1.01)
        tall = await peer.upload(picture(size=(width * 2, height * 2)))
        assert tall["cropped"] == [0, 0, 0, 0]


@pytest.mark.skipif(not FAKE, reason="wants the fake model's gray")
async def test_colours(server: Server) -> None:
    """Transparency is flattened on black, and of an animation the first picture is meant."""
    async with directing(server) as peer:
        await peer.is_shown(await peer.live(TRANSPARENT), 0)
        for data, red in ((several("PNG"), 60), (several("MPO"), 60), (several("WEBP"), 60)):
            id = peer.send("upload_image", **described(data))
            peer.send_bytes(data)
            applied = await peer.reply(id, "image_applied")
            await peer.is_shown(applied, red, applied["frame"])


async def test_mislabelled(server: Server) -> None:
    """The bytes decide, not the declared type."""
    async with directing(server) as peer:
        for data, mime in ((JPEG, "image/png"), (PNG, "image/gif"), (WEBP, ""), (PNG, "text/html; charset=utf-8")):
            id = peer.send("upload_image", **described(data, mime))
            peer.send_bytes(data)
            await peer.reply(id, "image_uploaded")
        id = peer.send("upload_image", **described(GIF, "image/png"))
        peer.send_bytes(GIF)
        await peer.refused(id, "image_unsupported")


@pytest.mark.parametrize("chunk", [1, 7, 1000, 16_384, 65_535, 65_536])
async def test_chunk_sizes(server: Server, chunk: int) -> None:
    """Messages of 1 to 65,536 bytes make up a picture."""
    data = picture(size=(20, 10)) if chunk < 100 else noise()
    async with directing(server) as peer:
        uploaded = await peer.upload(data, chunk=chunk)
        assert uploaded["sha256"] == hashlib.sha256(data).hexdigest()
        received = [m["received"] for m in peer.messages if m["type"] == "upload_progress"]
        assert received == sorted(received)
        assert all(type(count) is int and count <= len(data) for count in received)


async def test_progress(server: Server) -> None:
    """A large upload tells how far it is, about every 128 KiB."""
    data = noise(400, 300)
    async with directing(server) as peer:
        uploaded = await peer.upload(data, chunk=16_384)
        progress = [m for m in peer.messages if m["type"] == "upload_progress"]
        assert len(progress) == len(data) // 131_072 == 2
        assert {m["id"] for m in progress} == {uploaded["id"]}


async def test_empty_upload(server: Server) -> None:
    """A picture of no bytes is refused, and leaves no upload behind."""
    async with directing(server) as peer:
        reply = await peer.ask("upload_image", **described(b""))
        assert reply["code"] in ("bad_message", "image_corrupt", "image_unsupported")
        await peer.upload(picture())


async def test_text_between(server: Server) -> None:
    """Commands may come between the bytes, bad ones too, and are served."""
    data = noise()
    async with directing(server) as peer:
        id = peer.send("upload_image", **described(data))
        others = []
        for at in range(0, len(data), 10_000):
            peer.send_bytes(data[at : at + 10_000])
            others.append(peer.send("ping", t=at))
            others.append(peer.send("nonsense"))
        peer.send_text("{")
        await peer.reply(id, "image_uploaded")
        for other in others:
            await peer.reply(other)


async def test_two_uploads(server: Server) -> None:
    """A second upload meanwhile is refused and leaves the first going."""
    data = noise()
    async with directing(server) as peer:
        id = await stalled(peer, data, 50_000)
        second = peer.send("upload_image", **described(picture()))
        peer.send_bytes(data[50_000:])
        uploaded = await peer.reply(id, "image_uploaded")
        assert uploaded["sha256"] == hashlib.sha256(data).hexdigest()
        assert (await peer.refused(second, "upload_in_progress"))["retryable"] is True
        assert (await peer.upload(picture()))["width"] == 200


async def test_two_directors_upload(server: Server) -> None:
    """Two directors of a stream may upload at once, each over its own channel; the last one's picture stays."""
    data = noise()
    async with directing(server) as peer:
        other = Peer(server)
        await other.connect(stream=peer.answer["stream"], control_token=peer.answer["control_token"])
        id = await stalled(peer, data, 50_000)
        reply = await other.upload(picture(), "")
        assert reply["type"] == "image_uploaded" or reply["code"] == "upload_in_progress"
        peer.send_bytes(data[50_000:])
        await peer.reply(id, "image_uploaded")
        assert (await http("GET", peer.stream)).json["image"]["sha256"] == hashlib.sha256(data).hexdigest()
        await other.close(delete=False)


async def test_wrong_hash(server: Server) -> None:
    """Bytes that are not those declared are refused; capital hex digits are as good as small ones."""
    data = picture(30)
    async with directing(server) as peer:
        await peer.live(data)
        id = peer.send("upload_image", **described(PNG) | {"sha256": "0" * 64})
        peer.send_bytes(PNG)
        await peer.refused(id, "image_hash_mismatch")
        assert (await http("GET", peer.stream)).json["image"]["sha256"] == hashlib.sha256(data).hexdigest()
        loud = described(PNG)
        id = peer.send("upload_image", **loud | {"sha256": loud["sha256"].upper()})
        peer.send_bytes(PNG)
        assert (await peer.reply(id, "image_uploaded"))["sha256"].lower() == loud["sha256"]


async def test_upload_never_finished(server: Server) -> None:
    """An upload without a byte for its time ends with ``upload_timeout``; what comes late is discarded in silence."""
    data = noise()
    async with directing(server) as peer:
        for sent in (0, 50_000):
            id = await stalled(peer, data, sent)
            error = await peer.refused(id, "upload_timeout")
            assert error["retryable"] is True
            after = len(peer.messages)
            peer.send_bytes(data[sent:])
            await peer.ask("ping", "pong", t=1)
            assert not [m for m in peer.messages[after:] if m["type"] == "error"]
            await peer.upload(picture())


async def test_slow_upload(server: Server) -> None:
    """Bytes that keep coming keep an upload alive beyond the time without one."""
    data = picture(size=(20, 10))
    step = len(data) // 4 + 1
    async with directing(server) as peer:
        id = peer.send("upload_image", **described(data))
        for at in range(0, len(data), step):
            await asyncio.sleep(0.8)
            peer.send_bytes(data[at : at + step])
        await peer.reply(id, "image_uploaded")


async def test_declared_too_large(server: Server) -> None:
    """A declared size above the limit is refused before any byte; bytes that are on their way make no noise."""
    async with directing(server) as peer:
        for size in (10_485_761, 2**31, 10**18):
            error = await peer.refused(peer.send("upload_image", **described(b"") | {"size": size}), "image_too_large")
            assert error["retryable"] is False
        await peer.upload(picture())
        id = peer.send("upload_image", **described(b"") | {"size": 10_485_761})
        after = len(peer.messages)
        peer.send_bytes(noise())
        await peer.refused(id, "image_too_large")
        await peer.ask("ping", "pong", t=1)
        assert len([m for m in peer.messages[after:] if m["type"] == "error"]) == 1


async def test_rest_is_swallowed(server: Server) -> None:
    """What follows an early refusal is discarded in silence up to ``size``, and then the next upload is good."""
    data = noise()
    gif = GIF + bytes(200_000)
    async with directing(server) as peer:
        for bad in (gif, BOMB + bytes(150_000), b"text" * 50_000):
            id = peer.send("upload_image", **described(bad))
            peer.send_bytes(bad)
            next_ = peer.send("upload_image", **described(data))
            peer.send_bytes(data)
            assert (await peer.reply(id))["type"] == "error"
            assert (await peer.reply(next_, "image_uploaded"))["sha256"] == hashlib.sha256(data).hexdigest()
        assert len([m for m in peer.messages if m["type"] == "error"]) == 3


async def test_more_than_declared(server: Server) -> None:
    """Bytes beyond ``size`` make no picture of themselves, and the next upload is good."""
    data = picture()
    async with directing(server) as peer:
        id = peer.send("upload_image", **described(data))
        peer.send_bytes(data + b"surplus")
        reply = await peer.reply(id)
        assert reply["type"] == "image_uploaded" or reply["code"] in ("bad_message", "image_hash_mismatch")
        await peer.ask("ping", "pong", t=1)
        await peer.upload(data)


async def test_messages_of_a_wrong_size(server: Server) -> None:
    """A binary message above 65,536 bytes is refused, and the next upload is good."""
    data = noise()
    async with directing(server) as peer:
        id = peer.send("upload_image", **described(data))
        peer.send_bytes(data, 65_537)
        error = await peer.refused(id, "bad_message")
        assert "65" in error["message"]
        await asyncio.sleep(0.1)
        await peer.upload(picture())


async def test_empty_message(server: Server) -> None:
    """A binary message of no bytes is no part of a picture: refused or passed over, and the next upload is good."""
    data = picture()
    async with directing(server) as peer:
        id = peer.send("upload_image", **described(data))
        assert peer.channel is not None
        peer.channel.send(b"")
        peer.send_bytes(data)
        reply = await peer.reply(id)
        assert reply["type"] == "image_uploaded" or reply["code"] == "bad_message"
        await peer.ask("ping", "pong", t=1)
        await peer.upload(data)


async def test_binary_junk(server: Server) -> None:
    """Bytes that no upload announced harm nothing: an error, or none, and the channel goes on."""
    async with directing(server) as peer:
        await peer.live()
        for junk in (b"\x00", b"\xff" * 65_536, b'{"type": "stop", "id": 1}', b"\x00" * 200_000):
            peer.send_bytes(junk, 200_000)
        await peer.ask("ping", "pong", t=1)
        assert all(m["code"] == "bad_message" for m in peer.messages if m["type"] == "error")
        assert (await http("GET", peer.stream)).json["state"] == "live"
        await peer.next_frame(4)
        await peer.upload(picture())


async def test_closed_in_the_middle(server: Server) -> None:
    """A channel that closes in the middle of an upload leaves the stream playing, and its director may come back."""
    data = noise()
    async with directing(server) as peer:
        await peer.live(picture(40))
        await stalled(peer, data, 50_000)
        other = Peer(server)
        await other.connect(stream=peer.answer["stream"], control_token=peer.answer["control_token"])
        await stalled(other, data, 30_000)
        await other.close(delete=False)
        assert peer.channel is not None
        peer.channel.close()
        await peer.next_frame(6)
        body: dict[str, Any] = (await http("GET", peer.stream)).json
        assert body["state"] == "live"
        assert body["image"]["sha256"] == hashlib.sha256(picture(40)).hexdigest()
        back = Peer(server)
        await back.connect(stream=peer.answer["stream"], control_token=peer.answer["control_token"])
        await back.upload(picture(70))
        assert (await http("GET", peer.stream)).json["image"]["sha256"] == hashlib.sha256(picture(70)).hexdigest()
        await back.close(delete=False)


async def test_pictures_one_after_another(server: Server) -> None:
    """Each of many pictures uploaded while live is a cut of its own, in order."""
    async with directing(server) as peer:
        await peer.live(picture(0))
        ids = []
        for red in range(20, 220, 20):
            data = picture(red)
            ids.append(peer.send("upload_image", **described(data)))
            peer.send_bytes(data)
        applied = [await peer.reply(id, "image_applied") for id in ids]
        frames = [message["frame"] for message in applied]
        assert frames == sorted(frames)
        await peer.is_shown(applied[-1], 200, frames[-1])


def test_pictures_are_what_they_say() -> None:
    """The bad ones are bad by one thing only: the good file that each is made from is good."""
    for data in (PNG, JPEG, WEBP, GIF):
        Image.open(io.BytesIO(data)).load()
