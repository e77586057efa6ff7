"""Pictures with masks for the network of layers: ``python -m pipeline.pocket.layers_data PICTURES SALIENT OUT``.

Photos, numbered ones and landscapes that go by name, carry rough shapes by hand (``layer_labels.txt``), brought to the
picture's edges by GrabCut; what is said to be the subject comes from a teacher's saliency maps, grey PNG files
``SALIENT/train-NNN.png``, or from a shape by hand.
Beside them stand drawn scenes and landscapes of the painter, with exact masks, and cut-outs to be set into any of them
as subjects, which are no pictures to train on by themselves.
"""

import argparse
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from pipeline.pocket.labels import rasterise
from pipeline.pocket.layers_depth import in_bytes, near_of_photo
from pipeline.pocket.painter.lexicon import COLOURS, HOURS, PLACES, WEATHER
from pipeline.pocket.painter.paint import paint
from pipeline.pocket.painter.scenery import Hour, Place, Scenery
from pipeline.pocket.scenes import draw
from pipeline.pocket.view import HEIGHT, WIDTH, View

SEED = 20261128
STORED = (240, 416)
STORED_SIZE = (416, 240)
# Photos are stored finer than their kinds: a crop of one should be as sharp as a picture that is asked about.
SHOWN_SIZE = (624, 360)
# One byte a place: 0 none, then the layers in their order.
SUBJECT = 4
NAMES = {"R": "rest", "S": "sky", "W": "water", "F": "foliage", "T": "subject"}
# Half the width of the band around a rough edge in which GrabCut may move it, px of the stored size.
BAND = 9

Kinds = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.uint8]
# Free room around a cut-out, px of the stored size, and the alpha that is none.
ROOM, FAINT = 4, 8
ChoiceT = TypeVar("ChoiceT")


@dataclass(frozen=True, slots=True)
class Rough:
    """One line of ``layer_labels.txt``: a picture's number, its ground, whether it has a subject, and its shapes.

    ``is_kept`` says that it is not to be trained on but looked at in between; ``is_exact`` that its edges are as drawn.
    """

    number: str
    ground: str
    has_subject: bool
    shapes: str
    is_kept: bool = False
    is_exact: bool = False

    @property
    def file(self) -> str:
        """Where it lies in the folder of pictures: landscapes that only these layers learn from go by name."""
        return f"{'train' if self.number.isdigit() else 'land'}/{self.number}.jpg"

    @property
    def shows_subject(self) -> bool:
        """Whether it has a subject, salient or drawn by hand."""
        return self.has_subject or any(line.startswith("T ") for line in self.shapes.splitlines())


def read_rough() -> list[Rough]:
    """Read the rough labels, in order."""
    found: list[Rough] = []
    for line in (Path(__file__).parent / "layer_labels.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        head, *shapes = line.split(" ; ")
        number, ground, *marks = head.split()
        found.append(Rough(number, ground, "+" in marks, "\n".join(shapes), "?" in marks, "=" in marks))
    return found


def kinds(rough: Rough, pixels: Pixels, salient: npt.NDArray[np.float32] | None) -> Kinds:
    """What each place is, ``uint8 [240, 416]``, of a picture ``uint8 [240, 416, 3]``."""
    whole = f"{rough.ground} 0,0 100,0 100,100 0,100"
    lines = [line.split(" ", 1) for line in [whole, *rough.shapes.splitlines()]]
    masks = rasterise("\n".join(f"{NAMES[kind]} {points}" for kind, points in lines))
    small = [cv2.resize(mask, STORED_SIZE, interpolation=cv2.INTER_NEAREST) for mask in masks]
    found = np.zeros(STORED, np.uint8)
    for index, mask in enumerate(small):
        found[mask > 0.5] = index + 1
    for kind in () if rough.is_exact else (1, 2, 3, SUBJECT):
        found = _to_edges(found, kind, pixels)
    if salient is not None:
        found[salient > 0.5] = SUBJECT
    return found


def _to_edges(found: Kinds, kind: int, pixels: Pixels) -> Kinds:
    """Move the edge of one kind to the picture's own edge, within the band around it."""
    mask = (found == kind).astype(np.uint8)
    kernel = np.ones((2 * BAND + 1, 2 * BAND + 1), np.uint8)
    sure, never = cv2.erode(mask, kernel), 1 - cv2.dilate(mask, kernel)
    if sure.sum() < 50 or never.sum() < 50:
        return found
    labels = np.where(mask > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[sure > 0], labels[never > 0] = cv2.GC_FGD, cv2.GC_BGD
    back, front = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(1)
    cv2.grabCut(np.ascontiguousarray(pixels[..., ::-1]), labels, (0, 0, 1, 1), back, front, 2, cv2.GC_INIT_WITH_MASK)
    now = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    out = found.copy()
    out[now] = kind
    lost = (mask > 0) & ~now
    # What a kind gives up goes to the nearest other one.
    others = np.where(mask > 0, 0, 1).astype(np.uint8)
    distances = cv2.distanceTransformWithLabels(1 - others, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.asarray(distances[1], np.int64)
    owner = np.zeros(int(nearest.max()) + 1, np.uint8)
    owner[nearest[others > 0]] = found[others > 0]
    out[lost] = owner[nearest[lost]]
    return out


def saliency(rough: Rough, folder: Path) -> npt.NDArray[np.float32] | None:
    """How salient each place is to the teacher, ``float32 [240, 416]`` in 0..1; None where it has no say."""
    if not rough.has_subject:
        return None
    with Image.open(folder / f"train-{rough.number}.png") as opened:
        return np.asarray(opened.convert("L").resize(STORED_SIZE)).astype(np.float32) / np.float32(255)


def pack(pictures: Path, salient: Path, out: Path, drawings: int = 350, paintings: int = 300) -> None:
    """Write pictures as JPEG, kinds, how near they are and cut-outs as PNG into one file of about 55 MB."""
    jpegs: list[bytes] = []
    pngs: list[bytes] = []
    nears: list[bytes] = []
    labels = read_rough()
    for rough in labels:
        with Image.open(pictures / rough.file) as opened:
            fitted = ImageOps.fit(opened.convert("RGB"), (WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        pixels = np.asarray(fitted.resize(STORED_SIZE, Image.Resampling.LANCZOS))
        shown = fitted.resize(SHOWN_SIZE, Image.Resampling.LANCZOS)
        jpegs.append(_encoded(np.asarray(shown), "JPEG"))
        pngs.append(_encoded(exact := kinds(rough, pixels, saliency(rough, salient)), "PNG"))
        nears.append(_encoded(near_of_photo(exact, pixels), "PNG"))
    for pixels, exact, near in made(drawings, paintings):
        jpegs.append(_encoded(pixels, "JPEG"))
        pngs.append(_encoded(exact, "PNG"))
        nears.append(_encoded(in_bytes(near), "PNG"))
    columns: dict[str, Any] = {
        "photos": np.array(len(labels)),
        "subject": np.array([rough.shows_subject for rough in labels]),
        "kept": np.array([rough.is_kept for rough in labels]),
    }
    cuts = [_encoded(cut_out(path), "PNG") for path in sorted((pictures / "cut").glob("*.png"))]
    cuts += [_encoded(cut_out(path, True), "PNG") for path in sorted((pictures / "bust").glob("*.png"))]
    for name, some in (("jpeg", jpegs), ("png", pngs), ("near", nears), ("cut", cuts)):
        columns[f"{name}_bytes"] = np.frombuffer(b"".join(some), np.uint8)
        columns[f"{name}_sizes"] = np.array([len(blob) for blob in some])
    np.savez(out, **columns)


def cut_out(path: Path, is_bust: bool = False) -> Pixels:
    """A cut-out as large as the stored size holds, in its middle: ``uint8 [240, 416, 4]``.

    Somebody who is cut off below reaches the lower edge, by which :mod:`pipeline.pocket.layers_subjects` knows.
    """
    with Image.open(path) as opened:
        rgba = opened.convert("RGBA")
    fitted = rgba.crop(Image.fromarray(np.asarray(rgba)[..., 3] > FAINT).getbbox())
    inner = (STORED_SIZE[0] - 2 * ROOM, STORED_SIZE[1] - 2 * ROOM)
    fitted = ImageOps.contain(fitted, inner, Image.Resampling.LANCZOS)
    stored = Image.new("RGBA", STORED_SIZE)
    below = 0 if is_bust else (STORED_SIZE[1] - fitted.height) // 2
    stored.paste(fitted, ((STORED_SIZE[0] - fitted.width) // 2, STORED_SIZE[1] - fitted.height - below))
    return np.asarray(stored)


def made(drawings: int, paintings: int) -> Iterator[tuple[Pixels, Kinds, npt.NDArray[np.float32]]]:
    """Drawn and painted pictures with their exact kinds and how near each place is."""
    rng = np.random.default_rng(SEED)
    for _ in range(drawings):
        drawing = draw(rng, *STORED)
        part = drawing.masks.astype(np.int32)
        rest = np.clip(255 - part.sum(0, keepdims=True), 0, 255)
        yield drawing.pixels, np.concatenate([rest, part]).argmax(0).astype(np.uint8), drawing.near
    view = View(*STORED_SIZE)
    rows, columns = (slice(room, room + side) for room, side in zip(view.room, STORED, strict=True))
    for number in range(paintings):
        painting = paint(any_scenery(rng), SEED + number, view)
        exact = painting.shares[:, rows, columns].argmax(0).numpy().astype(np.uint8)
        yield painting.pixels[rows, columns].numpy(), exact, painting.near[rows, columns].numpy()


def any_scenery(rng: np.random.Generator) -> Scenery:
    """A scene by chance, of all that the painter knows but what shows nothing."""

    def one_of(values: Iterable[ChoiceT]) -> ChoiceT:
        some = list(values)
        return some[int(rng.integers(len(some)))]

    def at(odds: float) -> bool:
        return bool(rng.random() < odds)

    heights: list[Place] = ["forest", "hills", "mountains"]
    place: Place = one_of(place for place in PLACES if place != "abstract")
    beyond: tuple[Place, ...] = tuple(other for other in heights if other != place and at(0.35))
    hour: Hour = one_of(HOURS) if place != "stars" else "night"
    is_dark = hour in ("dusk", "night")
    return Scenery(
        place,
        beyond,
        hour,
        one_of(WEATHER),
        one_of(COLOURS) if at(0.3) else "",
        is_wintry=at(0.15),
        has_moon=is_dark and at(0.3),
        has_stars=is_dark and at(0.5),
        has_aurora=is_dark and at(0.2),
        has_fire=at(0.1),
    )


def _encoded(pixels: npt.NDArray[np.uint8], form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **({"quality": 85} if form == "JPEG" else {}))
    return buffer.getvalue()


def main() -> None:
    """Pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("salient", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    pack(args.pictures, args.salient, args.out)


if __name__ == "__main__":
    main()
