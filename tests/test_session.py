"""Session logs are read whole or refused with a reason; what a dying server tore off is left out."""

import json
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ConfigError
from pipeline.session import APART, SentChunk, conditioning_line, picture_path, picture_sha256, read_session
from pipeline.types import Conditioning

PICTURE = np.full((4, 6, 3), (200, 10, 0), np.uint8)
SHA256 = picture_sha256(PICTURE)
ASKED = Conditioning("i2v", "snow, снег", PICTURE, 7, revision=3, policy="cut", quality=1, size=(480, 832))
CHUNK = SentChunk(0, 0, 1, 0, 1, 4, Fraction(25, 2), 1, 1, ((1, ""),), "ab")
HEADER: dict[str, Any] = {"type": "session", "version": 1, "stream": "s"}


def lines(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """A log of one chunk, and what follows it."""
    return [HEADER, conditioning_line(1, ASKED, SHA256), CHUNK.line(), *more]


def write(folder: Path, content: list[dict[str, Any]], tail: str = "") -> Path:
    """Write a log with its picture beside it."""
    path = picture_path(folder, SHA256)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(PICTURE).save(path)
    log = folder / "a.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in content) + tail)
    return log


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Chunks and conditionings come back as they were, every field of them, pictures with them."""
    command = {"type": "command", "frame": 0, "by": "director-1", "command": {"type": "start", "seed": 7}}
    later = replace(CHUNK, frame=4, latent=1)
    session = read_session(write(tmp_path, lines(command, later.line(), {"type": "end", "frames": 6})))
    assert session.chunks == [CHUNK, later]
    assert session.commands == [command]
    assert [session.sent(0), session.sent(1)] == [4, 2]
    asked = session.conditioning(1, 1, session.pictures())
    assert asked.image is not None
    assert np.array_equal(asked.image, PICTURE)
    for item in fields(Conditioning):
        if item.name != "image":
            assert getattr(asked, item.name) == getattr(ASKED, item.name)
    assert set(APART) <= {item.name for item in fields(Conditioning)}


@pytest.mark.parametrize("tail", ["", '{"type": "chu', '{"type": "end", "frames": 1}'])
def test_a_torn_last_line_is_left_out(tmp_path: Path, tail: str) -> None:
    """Without a line feed a line is not whole; without an end the last chunk counts whole."""
    session = read_session(write(tmp_path, lines(), tail))
    assert session.frames is None
    assert session.sent(0) == 4


def test_a_log_from_before_latents_were_made_again_midway(tmp_path: Path) -> None:
    """Its chunks are whole."""
    line = replace(CHUNK, skip=2).line()
    assert SentChunk.read(line).skip == 2
    del line["skip"]
    assert read_session(write(tmp_path, [*lines()[:2], line])).chunks == [CHUNK]


def test_lines_of_other_types_are_left_out(tmp_path: Path) -> None:
    """What a later Vivant adds beside is no error."""
    assert len(read_session(write(tmp_path, lines({"type": "weather"}))).chunks) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "is no session log"),
        ([{"type": "chunk"}], "is no session log"),
        ([HEADER | {"version": 2}], "of version 2, and this Vivant reads 1; --force"),
        ([HEADER | {"version": None}], "of version None"),
        ([HEADER, CHUNK.line()], "line 2: .*its conditioning is not told"),
        (lines(CHUNK.line()), "line 4: .*not after that of the chunk before"),
        (lines({"type": "chunk", "frame": 4}), "line 4: .*'pts'"),
        (lines(replace(CHUNK, frame=4).line() | {"fps": "0"}), "line 4: .*below 0"),
        (lines(replace(CHUNK, frame=4).line() | {"fps": "1/0"}), "line 4: "),
        (lines(replace(CHUNK, frame=4).line() | {"latents": True}), "line 4: .*a number is missing"),
        (lines({"type": "end"}), "line 4: "),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: list[dict[str, Any]], said: str) -> None:
    """The reason names the line."""
    with pytest.raises(ConfigError, match=said):
        read_session(write(tmp_path, content))


@pytest.mark.parametrize("torn", ["nothing", "[1]", "\udcff"])
def test_damage_in_the_middle_is_refused(tmp_path: Path, torn: str) -> None:
    """A line that is broken though others follow is no torn end."""
    path = write(tmp_path, lines())
    path.write_bytes(path.read_bytes() + torn.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ConfigError, match="line 4: no JSON"):
        read_session(path)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(ConfigError, match=r"can't read the log .*none\.jsonl: No such file"):
        read_session(tmp_path / "none.jsonl")


def test_a_picture_that_is_missing_or_another(tmp_path: Path) -> None:
    """Either is named by its file; the video would not be the stream's."""
    session = read_session(write(tmp_path, lines()))
    path = picture_path(tmp_path, SHA256)
    Image.fromarray(PICTURE + 1).save(path)
    with pytest.raises(ConfigError, match="its hash is another"):
        session.pictures()
    path.unlink()
    with pytest.raises(ConfigError, match=f"{SHA256}.png, a picture of this log, can't be read"):
        session.pictures()


def test_a_name_can_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    """Pictures are looked for beside the log alone."""
    session = read_session(write(tmp_path, [HEADER, conditioning_line(1, ASKED, "../../etc/x"), CHUNK.line()]))
    with pytest.raises(ConfigError, match=f"{tmp_path}/pictures/x.png"):
        session.pictures()


def test_a_conditioning_of_another_version(tmp_path: Path) -> None:
    """A field that this version lacks is an error that says so."""
    line = conditioning_line(1, ASKED, None) | {"mood": "blue"}
    session = read_session(write(tmp_path, [HEADER, line, CHUNK.line()]))
    with pytest.raises(ConfigError, match=r"another version's: .*mood"):
        session.conditioning(1, 0, {})


def test_pictures_of_other_shapes_hash_apart() -> None:
    """The same bytes in another shape are another picture."""
    assert picture_sha256(PICTURE) != picture_sha256(PICTURE.reshape(6, 4, 3))
