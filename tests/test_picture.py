"""The image rules: what is taken, what is refused, and what the pixels are."""

import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from pipeline.geometry import cover_crop
from pipeline.types import Pixels
from stream.errors import StreamError
from stream.picture import Picture, decode_picture
from stream.protocol import Limits

COVER = (832, 480)
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
NO_TAGS = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"


def decode(data: bytes, limits: Limits | None = None, cover: tuple[int, int] = COVER) -> Picture:
    """Decode under the contract's limits unless told otherwise."""
    return decode_picture(data, limits or Limits(), [cover])


def refusal(data: bytes, limits: Limits | None = None) -> str:
    """Give the code with which a file is refused."""
    with pytest.raises(StreamError) as caught:
        decode(data, limits)
    return caught.value.code


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Write a picture file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    """A smooth picture that differs everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


# Adam7: the first column and row of each pass, and its steps.
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(ihdr: tuple[int, int, int, int], rows: bytes, *extra: tuple[bytes, bytes], interlace: int = 0) -> bytes:
    """Write a PNG by hand: (width, height, bit depth, colour type), filtered rows, chunks before them."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", *ihdr, 0, 0, interlace)),
        *extra,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return PNG_MAGIC + b"".join(chunk(kind, body) for kind, body in chunks)


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write one PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def icc_profile(*primaries: tuple[float, float, float]) -> bytes:
    """Write a matrix profile with these XYZ (D50) for red, green, blue and a gamma of 2.2 (ICC.1:2001-04)."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    xyz = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in primary)) for primary in primaries]
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    tags = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True))
    tags |= {b"wtpt": white, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    position, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", position + len(body), len(value))
        body += value
    illuminant = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    head = struct.pack(">I4xI", position + len(body), 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    return (head + bytes(28) + illuminant).ljust(128, b"\0") + table + body


SRGB_RED, SRGB_GREEN, SRGB_BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
SWAPPED_PROFILE = icc_profile(SRGB_BLUE, SRGB_GREEN, SRGB_RED)


FILES = {
    "baseline JPEG": encode(gradient(), "JPEG", quality=90),
    "progressive JPEG": encode(gradient(), "JPEG", quality=90, progressive=True),
    "JPEG with restarts and a thumbnail": encode(
        gradient(),
        "JPEG",
        quality=90,
        restart_marker_rows=1,
        exif=NO_TAGS + encode(gradient(8, 8), "JPEG"),
    ),
    "PNG": encode(gradient(), "PNG"),
    "animated PNG": encode(gradient(), "PNG", save_all=True, append_images=[gradient().rotate(180)]),
    "lossy WebP": encode(gradient(), "WEBP", quality=95),
    "lossless WebP": encode(gradient(), "WEBP", lossless=True),
    "WebP with a header": encode(gradient(), "WEBP", quality=95, exif=NO_TAGS),
    "animated WebP": encode(gradient(), "WEBP", quality=95, save_all=True, append_images=[gradient().rotate(180)]),
}
files = pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in FILES.items()])


@files
def test_picture_is_decoded(data: bytes) -> None:
    """Each format comes out as the picture that went in: its first frame where it moves."""
    picture = decode(data)
    assert (picture.width, picture.height) == (60, 40)
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert picture.cropped == cover_crop(60, 40, COVER)
    assert (picture.pixels.dtype, picture.pixels.shape) == (np.uint8, (40, 60, 3))
    assert np.abs(picture.pixels.astype(int) - np.asarray(gradient())).mean() < 4


@files
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_picture_cut_anywhere_is_corrupt(data: bytes) -> None:
    """A file whose end is missing is corrupt, wherever it was cut, to the last byte."""
    assert {refusal(data[:length]) for length in range(len(data))} == {"image_corrupt"}


@files
def test_bytes_after_the_end_do_no_harm(data: bytes) -> None:
    """What a camera or a messenger appends to the file is ignored."""
    assert np.array_equal(decode(data + b"\xff\xd8 trailer \xff").pixels, decode(data).pixels)


@files
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_picture_is_decoded_or_refused(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Whatever bytes are changed, the file is decoded, or refused by one of the contract's codes."""
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(data)] = value
    try:
        assert decode(bytes(damaged)).pixels.dtype == np.uint8
    except StreamError as error:
        code = error.code
    else:
        code = "image_corrupt"
    assert code in {"image_corrupt", "image_unsupported", "image_too_large"}


def test_picture_without_bytes_is_corrupt() -> None:
    """An empty file is corrupt."""
    assert refusal(b"") == "image_corrupt"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode(gradient(), "GIF"), id="GIF"),
        pytest.param(encode(gradient(), "BMP"), id="BMP"),
        pytest.param(encode(gradient(), "TIFF"), id="TIFF"),
        pytest.param(encode(gradient(), "ICO"), id="ICO"),
        pytest.param(encode(gradient(), "JPEG2000"), id="JPEG 2000"),
        pytest.param(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B", id="AVIF"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", id="HEIC"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', id="SVG"),
        pytest.param(b"RIFF\x24\0\0\0WAVEfmt ", id="WAV"),
        pytest.param(b"%PDF-1.7\n", id="PDF"),
        pytest.param(b"GARBAGE" * 100, id="garbage"),
        pytest.param(b"x", id="one byte"),
    ],
)
def test_other_formats_are_unsupported(data: bytes) -> None:
    """Only JPEG, PNG and WebP are taken, whatever Pillow could read."""
    assert refusal(data) == "image_unsupported"


def test_file_above_the_byte_limit_is_too_large() -> None:
    """The limit itself is allowed, one byte more is not."""
    data = FILES["PNG"]
    assert decode(data, Limits(image_bytes=len(data))).width == 60
    assert refusal(data, Limits(image_bytes=len(data) - 1)) == "image_too_large"


@files
def test_picture_above_the_pixel_limit_is_too_large(data: bytes) -> None:
    """The limit itself is allowed, one pixel more is not."""
    assert decode(data, Limits(image_pixels=2400)).width == 60
    assert refusal(data, Limits(image_pixels=2399)) == "image_too_large"


def patched(data: bytes, position: int, value: bytes) -> bytes:
    """Give data with some bytes replaced."""
    return data[:position] + value + data[position + len(value) :]


def bombs() -> list[Any]:
    """Small files whose headers promise more pixels than any machine has room for."""
    jpeg, lossy, lossless = FILES["baseline JPEG"], FILES["lossy WebP"], FILES["lossless WebP"]
    extended, moving = FILES["WebP with a header"], FILES["animated WebP"]
    huge = b"\xff\xff\xff"
    return [
        pytest.param(png((2**31 - 1, 2**31 - 1, 8, 2), b"\0"), id="PNG"),
        pytest.param(PNG_MAGIC + chunk(b"IHDR", struct.pack(">II5B", 50_000, 50_000, 8, 2, 0, 0, 0)), id="PNG header"),
        pytest.param(patched(jpeg, jpeg.index(b"\xff\xc0") + 5, b"\xff\xff\xff\xff"), id="JPEG"),
        pytest.param(patched(jpeg, jpeg.index(b"\xff\xc0") + 5, b"\xff\xff\xff\xff")[:300], id="cut JPEG"),
        pytest.param(patched(lossy, 26, b"\xff\x3f\xff\x3f"), id="lossy WebP"),
        pytest.param(patched(lossless, 21, b"\xff\xff\xff\x0f"), id="lossless WebP"),
        pytest.param(patched(extended, 24, huge + huge), id="WebP with a header"),
        pytest.param(patched(moving, 24, huge + huge), id="animated WebP"),
    ]


@pytest.fixture
def no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that lets Pillow see the file."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the file was opened")

    monkeypatch.setattr(Image, "open", never)


@pytest.mark.usefixtures("no_pillow")
@pytest.mark.parametrize("data", bombs())
def test_bomb_is_refused_by_its_header(data: bytes) -> None:
    """A header that promises too many pixels is refused before Pillow sees the file."""
    assert refusal(data) == "image_too_large"


@files
@pytest.mark.usefixtures("no_pillow")
def test_missing_end_is_found_before_decoding(data: bytes) -> None:
    """That a file's last byte is missing does not depend on what Pillow forgives."""
    assert refusal(data[:-1]) == "image_corrupt"


def test_jpeg_of_endless_scans_is_corrupt() -> None:
    """A progressive JPEG may not keep the machine busy with scan after scan."""
    data = FILES["progressive JPEG"]
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    assert refusal(data[:-2] + last_scan * 300 + data[-2:]) == "image_corrupt"


def test_jpeg_of_another_process_is_unsupported() -> None:
    """Arithmetic, lossless and 12-bit JPEGs are told apart from damaged ones."""
    data = FILES["baseline JPEG"]
    frame = data.index(b"\xff\xc0")
    assert refusal(patched(data, frame + 1, b"\xc3")) == "image_unsupported"
    assert refusal(patched(data, frame + 1, b"\xc9")) == "image_unsupported"
    assert refusal(patched(data, frame + 4, b"\x0c")) == "image_unsupported"


def test_jpeg_of_no_height_is_corrupt() -> None:
    """A picture without pixels is no picture."""
    data = FILES["baseline JPEG"]
    assert refusal(patched(data, data.index(b"\xff\xc0") + 5, b"\0\0")) == "image_corrupt"


def test_jpeg_of_two_sizes_is_corrupt() -> None:
    """A second frame header that says another size than the first makes no picture."""
    data = FILES["baseline JPEG"]
    frame = data.index(b"\xff\xc0")
    second = patched(data[frame : frame + 19], 5, b"\0\x08\0\x08")
    assert refusal(data[:-2] + second + data[-2:]) == "image_corrupt"


def test_jpeg_without_a_picture_is_corrupt() -> None:
    """A beginning and an end are not enough."""
    assert refusal(b"\xff\xd8\xff\xd9") == "image_corrupt"


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
def test_png_with_a_wrong_checksum_is_corrupt(kind: bytes) -> None:
    """The CRC of every chunk is checked."""
    data = FILES["PNG"]
    length = int.from_bytes(data[data.index(kind) - 4 : data.index(kind)])
    crc = data.index(kind) + 4 + length
    assert refusal(patched(data, crc, bytes([data[crc] ^ 1]))) == "image_corrupt"


def test_png_with_rows_missing_is_corrupt() -> None:
    """A PNG whose chunks are sound but whose pixels end early is corrupt."""
    row = b"\0" + bytes(60 * 3)
    assert decode(png((60, 40, 8, 2), row * 40)).height == 40
    assert refusal(png((60, 40, 8, 2), row * 39)) == "image_corrupt"


def test_interlaced_png_is_decoded() -> None:
    """An interlaced PNG has its seven passes, however small it is."""
    for width, height in ((1, 1), (2, 3), (5, 9), (60, 40)):
        passes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in ADAM7]
        rows = b"".join((b"\0" + b"\x80" * columns) * lines for columns, lines in passes if columns > 0)
        picture = decode(png((width, height, 8, 0), rows, interlace=1))
        assert picture.pixels.shape == (height, width, 3)
        assert (picture.pixels == 0x80).all()
        assert refusal(png((width, height, 8, 0), rows[:-1], interlace=1)) == "image_corrupt"


def test_png_of_endless_rows_is_not_inflated() -> None:
    """Rows beyond the picture's height are never made."""
    row = b"\0" + bytes(60 * 3)
    assert decode(png((60, 40, 8, 2), row * 40 + bytes(50_000_000))).height == 40


def test_png_of_two_sizes_is_corrupt() -> None:
    """A second header can't make the picture larger than the one that was checked."""
    row = b"\0" + bytes(60 * 3)
    second = (b"IHDR", struct.pack(">II5B", 60, 20, 8, 2, 0, 0, 0))
    assert refusal(png((60, 40, 8, 2), row * 40, second)) == "image_corrupt"


def test_png_without_a_header_or_pixels_is_corrupt() -> None:
    """IHDR comes first, IDAT comes, and a palette comes where one is needed."""
    assert refusal(PNG_MAGIC + chunk(b"IEND", b"")) == "image_corrupt"
    header = chunk(b"IHDR", struct.pack(">II5B", 4, 4, 8, 2, 0, 0, 0))
    assert refusal(PNG_MAGIC + header + chunk(b"IEND", b"")) == "image_corrupt"


def test_webp_whose_frame_is_cut_is_corrupt() -> None:
    """A WebP whose container is sound but whose bitstream is cut is corrupt."""
    data = FILES["lossy WebP"]
    kept = len(data) // 4 * 2
    cut = b"RIFF" + struct.pack("<I", kept - 8) + b"WEBPVP8 " + struct.pack("<I", kept - 20) + data[20:kept]
    assert refusal(cut) == "image_corrupt"


def upright() -> Pixels:
    """A small picture without symmetry, as it should be seen."""
    return np.asarray(gradient(6, 4)).copy()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(orientation: int, file_format: str) -> None:
    """A camera held in any of eight ways gives the same upright picture, with its upright size and crop."""
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright())
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    picture = decode(encode(image, file_format, exif=exif.tobytes(), **options))
    assert (picture.width, picture.height, picture.cropped) == (6, 4, cover_crop(6, 4, COVER))
    assert np.abs(picture.pixels.astype(int) - upright()).max() <= (0 if file_format != "JPEG" else 6)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0nonsense", id="nonsense"),
        pytest.param(b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01", id="cut"),
        pytest.param(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0", id="orientation 9"),
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="offset beyond the end"),
    ],
)
def test_bad_exif_is_ignored(exif: bytes) -> None:
    """A picture with unusable EXIF is shown as it is stored."""
    assert np.array_equal(decode(encode(gradient(), "PNG", exif=exif)).pixels, np.asarray(gradient()))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_colour_profile_is_converted_to_srgb(file_format: str) -> None:
    """Under a profile whose red is sRGB's blue, a red picture is blue."""
    red = Image.new("RGB", (16, 16), (200, 0, 0))
    data = encode(red, file_format, icc_profile=SWAPPED_PROFILE, quality=100)
    assert decode(data).pixels[8, 8].tolist() == pytest.approx([0, 0, 200], abs=6)


def test_srgb_profile_changes_nothing() -> None:
    """A picture that names sRGB itself comes out as it went in, to a level."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = decode(encode(gradient(), "PNG", icc_profile=profile)).pixels
    assert np.abs(pixels.astype(int) - np.asarray(gradient())).max() <= 1


@pytest.mark.parametrize("profile", [b"no profile", SWAPPED_PROFILE[:200]], ids=["nonsense", "cut"])
def test_bad_profile_is_ignored(profile: bytes) -> None:
    """A profile that can't be read counts as none."""
    data = encode(gradient(), "PNG", icc_profile=profile)
    assert np.array_equal(decode(data).pixels, np.asarray(gradient()))


def test_profile_for_other_pixels_is_ignored() -> None:
    """An RGB profile on a grey picture counts as none."""
    grey = gradient().convert("L")
    pixels = decode(encode(grey, "PNG", icc_profile=SWAPPED_PROFILE)).pixels
    assert np.array_equal(pixels, np.asarray(grey.convert("RGB")))


def test_profile_of_a_transparent_picture_is_used() -> None:
    """Colour is converted first, then flattened."""
    half_red = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    pixels = decode(encode(half_red, "PNG", icc_profile=SWAPPED_PROFILE)).pixels
    assert pixels[0, 0].tolist() == pytest.approx([0, 0, 128], abs=3)


def test_cmyk_jpeg_is_converted() -> None:
    """A JPEG in inks, as a print shop makes it, has its colours."""
    colours = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 128, 255)]
    for colour in colours:
        data = encode(Image.new("RGB", (16, 16), colour).convert("CMYK"), "JPEG", quality=100)
        assert Image.open(io.BytesIO(data)).mode == "CMYK"
        assert decode(data).pixels[8, 8].tolist() == pytest.approx(colour, abs=3)


def test_grey_jpeg_is_converted() -> None:
    """A grey JPEG has three equal channels."""
    pixels = decode(encode(gradient().convert("L"), "JPEG")).pixels
    assert np.array_equal(pixels, np.repeat(pixels[..., :1], 3, axis=-1))
    assert len(np.unique(pixels)) > 50


def test_sixteen_bit_grey_png_keeps_its_range() -> None:
    """16-bit grey is brought to 8 bits, not clipped."""
    row = b"\0" + struct.pack(">4H", 0, 0x4012, 0x80FF, 0xFFFF)
    assert decode(png((4, 2, 16, 0), row * 2)).pixels[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]


def test_sixteen_bit_colour_png_keeps_its_range() -> None:
    """16-bit colour and alpha are brought to 8 bits."""
    row = b"\0" + struct.pack(">3H", 0x1234, 0x8080, 0xFFFF)
    assert decode(png((1, 1, 16, 2), row)).pixels[0, 0].tolist() == [0x12, 0x80, 0xFF]
    row = b"\0" + struct.pack(">4H", 0xFFFF, 0x8080, 0, 0x8000)
    assert decode(png((1, 1, 16, 6), row)).pixels[0, 0].tolist() == pytest.approx([128, 64, 0], abs=1)
    row = b"\0" + struct.pack(">2H", 0xFFFF, 0x8000)
    assert decode(png((1, 1, 16, 4), row)).pixels[0, 0].tolist() == pytest.approx([128] * 3, abs=1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparent_grey_is_black(bits: int) -> None:
    """A grey level named transparent is, at every bit depth; the others keep their level."""
    most = 2**bits - 1
    size = max(1, bits // 8)
    samples = [most, 0] if bits < 8 else [most, most // 3]
    packed = b"".join(s.to_bytes(size) for s in samples)
    if bits < 8:
        packed = bytes([sum(s << (8 - bits * (i + 1)) for i, s in enumerate(samples))])
    clear_white = png((2, 1, bits, 0), b"\0" + packed, (b"tRNS", most.to_bytes(2)))
    assert decode(clear_white).pixels[0, :, 0].tolist() == [0, samples[1] * 255 // most]
    clear_other = png((2, 1, bits, 0), b"\0" + packed, (b"tRNS", samples[1].to_bytes(2)))
    assert decode(clear_other).pixels[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_colour_is_black(bits: int) -> None:
    """A colour named transparent is; the others keep theirs."""
    code, most = (">6B", 255) if bits == 8 else (">6H", 0xFFFF)
    row = b"\0" + struct.pack(code, most, 0, most, most, most, 0)
    data = png((2, 1, bits, 2), row, (b"tRNS", struct.pack(">3H", most, 0, most)))
    assert decode(data).pixels[0].tolist() == [[0, 0, 0], [255, 255, 0]]


def test_palette_with_transparency_is_flattened() -> None:
    """Palette colours are looked up, each with its own alpha."""
    palette = (b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    row = b"\0\x00\x01\x02"
    opaque = decode(png((3, 1, 8, 3), row, palette)).pixels[0]
    assert opaque.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    soft = decode(png((3, 1, 8, 3), row, palette, (b"tRNS", bytes([0, 128])))).pixels[0]
    assert soft.tolist() == [[0, 0, 0], [0, 128, 0], [0, 0, 255]]


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_transparency_is_flattened_on_black(file_format: str) -> None:
    """Where the picture is clear it is black, where half clear half as bright."""
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (255, 200, 100, alpha))
    pixels = decode(encode(image, file_format, lossless=True, exact=True)).pixels[0]
    assert pixels.tolist() == [[0, 0, 0], [128, 100, 50], [255, 200, 100]]


def test_grey_with_alpha_is_flattened_on_black() -> None:
    """Grey and alpha too."""
    assert decode(encode(Image.new("LA", (2, 2), (200, 51)), "PNG")).pixels[0, 0].tolist() == [40, 40, 40]


@pytest.mark.parametrize("size", [(4000, 3000), (1000, 4000), (6000, 500), (3328, 1920), (1665, 961)])
def test_large_picture_is_reduced_to_what_covers_twice(size: tuple[int, int]) -> None:
    """After its cover-crop a reduced picture has twice the stream's size; its figures are the original's."""
    picture = decode(encode(Image.new("RGB", size, "teal"), "PNG", compress_level=1))
    assert (picture.width, picture.height) == size
    assert picture.cropped == cover_crop(*size, COVER)
    height, width = picture.pixels.shape[:2]
    left, top, right, bottom = cover_crop(width, height, COVER)
    assert (width, height) == size or (width - left - right, height - top - bottom) == (1664, 960)
    assert width / height == pytest.approx(size[0] / size[1], rel=2e-3)


def test_sideways_picture_is_reduced_by_its_upright_size() -> None:
    """A tall picture stored lying down is reduced as the tall one that it is."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = decode(encode(Image.new("RGB", (4000, 3000), "teal"), "JPEG", exif=exif.tobytes()))
    assert (picture.width, picture.height) == (3000, 4000)
    assert picture.pixels.shape == (2219, 1664, 3)


def test_small_picture_is_not_enlarged() -> None:
    """A picture that does not cover twice keeps its pixels."""
    assert decode(encode(gradient(1664, 960), "PNG")).pixels.shape == (960, 1664, 3)
    assert decode(encode(gradient(1, 1), "PNG")).pixels.shape == (1, 1, 3)
    assert decode(encode(gradient(5000, 1), "PNG")).pixels.shape == (1, 5000, 3)


def test_reduction_is_antialiased() -> None:
    """Stripes finer than the result come out as their mean, not as moiré."""
    stripes = np.zeros((2880, 4992, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = decode(encode(Image.fromarray(stripes), "PNG", compress_level=1)).pixels[:, 50:-50]
    assert pixels.min() >= 120
    assert pixels.max() <= 135


def test_reduction_keeps_clear_pixels_out_of_the_edges() -> None:
    """Colour hidden under full transparency does not bleed into what is seen."""
    image = Image.new("RGBA", (3328, 1920), (255, 255, 255, 0))
    image.paste((0, 0, 255, 255), (0, 0, 1663, 1920))
    pixels = decode(encode(image, "PNG", compress_level=1)).pixels
    assert pixels[..., :2].max() <= 2


def test_picture_may_be_written_to() -> None:
    """The pixels are an array of their own."""
    assert decode(FILES["PNG"]).pixels.flags.writeable
