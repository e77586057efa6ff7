"""Lists of prompts and of pictures with prompts, in every form that they may have."""

import json
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.prompt_lists import Item, read_pairs, read_prompts


def write(path: Path, text: str) -> Path:
    """A file with this text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_prompt_a_line(tmp_path: Path) -> None:
    """Blank lines, comments, a byte order mark and the line ends of Windows are no prompts."""
    path = write(tmp_path / "p.txt", "\ufeffSnow falls, slowly\r\n\r\n  # a comment\r\n  0:pan \n雪が降る\n")
    assert read_prompts(path) == [Item("Snow falls, slowly"), Item("0:pan"), Item("雪が降る")]


def test_longer_prompts_are_heard_and_shorter_ones_name(tmp_path: Path) -> None:
    """With extended prompts the model hears these, and files keep the names of the others; both go together."""
    path, longer = write(tmp_path / "p.txt", "snow\npan\n"), write(tmp_path / "e.txt", "Snow falls.\nA slow pan.\n")
    items = read_prompts(path, longer)
    assert [(item.prompt, item.slug) for item in items] == [("Snow falls.", "snow"), ("A slow pan.", "pan")]
    with pytest.raises(ConfigError, match=r"e\.txt has 1 prompts and .*p\.txt has 2"):
        read_prompts(path, write(tmp_path / "e.txt", "Snow falls.\n"))


@pytest.mark.parametrize(
    "text",
    [
        "a.png\tSnow falls, slowly\nsub/b.png\tpan\n",
        "a.png\t\tSnow falls, slowly\n\n# comment\nsub/b.png\tpan\n",
        'a.png,"Snow falls, slowly"\nsub/b.png,pan\n',
        'picture, prompt\n"a.png", "Snow falls, slowly"\nsub/b.png, pan\n',
        "file_name\tcaption\na.png\tSnow falls, slowly\nsub/b.png\tpan\n",
        "\ufeffa.png\tSnow falls, slowly\r\nsub/b.png\tpan\r\n",
    ],
)
def test_two_columns(tmp_path: Path, text: str) -> None:
    """Tabs, or commas with quotes; a line of titles is none; pictures lie where the file lies."""
    wanted = [Item("Snow falls, slowly", tmp_path / "a.png"), Item("pan", tmp_path / "sub" / "b.png")]
    assert read_pairs(write(tmp_path / "pairs.txt", text)) == wanted


def test_an_absolute_picture_stays_where_it_is(tmp_path: Path) -> None:
    """Only relative paths are relative to the file."""
    assert read_pairs(write(tmp_path / "p.tsv", "/pictures/a.png\tsnow\n"))[0].picture == Path("/pictures/a.png")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("just words", "line 2 has 1 of the 2 columns"),
        ("b.png,Snow, slowly", "line 2 has 3 of the 2 columns picture and prompt; a prompt with commas goes in quotes"),
        ("b.png,", "line 2 has 1 of the 2 columns"),
    ],
)
def test_a_line_that_is_odd_is_one_bad_item(tmp_path: Path, line: str, says: str) -> None:
    """A line without two columns is an item with a fault that names it; the others are what they are."""
    first, odd = read_pairs(write(tmp_path / "p.csv", f"a.png,snow\n{line}\n"))
    assert first == Item("snow", tmp_path / "a.png")
    assert says in odd.fault


def test_pictures_beside_their_prompts(tmp_path: Path) -> None:
    """A folder of pictures, each with a .txt of its name, in the order of names; a missing text is one bad item."""
    for name in ("b.jpg", "a.PNG", "c.webp", "d.jpeg", "notes.md"):
        write(tmp_path / name, "")
    write(tmp_path / "a.txt", "Snow\nfalls. ")
    write(tmp_path / "b.txt", "pan")
    write(tmp_path / "d.txt", " \n")
    items = read_pairs(tmp_path)
    assert items[:2] == [Item("Snow falls.", tmp_path / "a.PNG"), Item("pan", tmp_path / "b.jpg")]
    assert [item.picture for item in items[2:]] == [tmp_path / "c.webp", tmp_path / "d.jpeg"]
    assert "c.txt: No such file" in items[2].fault
    assert "d.txt is empty" in items[3].fault


@pytest.mark.parametrize("name", ["pairs.tsv", "prompts.csv"])
def test_a_folder_that_holds_a_pairs_file(tmp_path: Path, name: str) -> None:
    """A folder with one pairs file is that file; with two, the one to be read has to be named."""
    separator = "\t" if name.endswith("tsv") else ","
    write(tmp_path / name, f"a.png{separator}snow\n")
    write(tmp_path / "b.png", "")
    assert read_pairs(tmp_path) == [Item("snow", tmp_path / "a.png")]
    write(tmp_path / "other.tsv", "a.png\tpan\n")
    with pytest.raises(ConfigError, match=r"holds .* and .*: name the one"):
        read_pairs(tmp_path)


@pytest.mark.parametrize("inner", ["26-15", ""])
def test_the_published_layout(tmp_path: Path, inner: str) -> None:
    """target_crop_info_RATIO.json names pictures of the folder RATIO, or beside it where there is none."""
    (tmp_path / inner).mkdir(exist_ok=True)
    entries = [{"file_name": "a.jpg", "caption": "Snow\n falls", "type": "x"}, {"file_name": "b.jpg"}, "c.jpg"]
    path = write(tmp_path / "target_crop_info_26-15.json", json.dumps(entries))
    for place in (tmp_path, path):
        items = read_pairs(place)
        assert items[0] == Item("Snow falls", tmp_path / inner / "a.jpg")
        assert [item.fault for item in items[1:]] == [f"entry {n} lacks file_name or caption" for n in (2, 3)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.txt", b"", "holds no pairs"),
        ("p.txt", b"# nothing\n", "holds no pairs"),
        ("p.txt", b"a prompt\nanother\n", "is no list of pictures with prompts: line 1"),
        ("p.txt", b"\xff\xfe\x00", "is no text in UTF-8"),
        ("p.json", b"{", "is not JSON"),
        ("p.json", b'{"a": 1}', "must hold a list"),
    ],
)
def test_what_is_no_list_is_said(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """A file of which nothing can be made is refused in one line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_pairs(tmp_path / name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A missing file, a folder without pictures, a prompts file without prompts are named."""
    with pytest.raises(ConfigError, match=r"none\.tsv: No such file"):
        read_pairs(tmp_path / "none.tsv")
    with pytest.raises(ConfigError, match="holds no pictures"):
        read_pairs(tmp_path)
    with pytest.raises(ConfigError, match="holds no prompts"):
        read_prompts(write(tmp_path / "p.txt", "# nothing\n"))
    with pytest.raises(ConfigError, match="Is a directory"):
        read_prompts(tmp_path)


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("The character turns their head and smiles", "the-character-turns-their-head"),
        ('Don\'t/../move: "x"?*', "dont-move-x"),
        ("雪が降る、静かに", "雪が降る-静かに"),
        ("...", ""),
        ("a" * 300, "a" * 40),
        ("aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeee", "aaaaaaaaa-bbbbbbbbb-ccccccccc-ddddddddd"),
    ],
)
def test_names_are_fit_for_files(prompt: str, slug: str) -> None:
    """A name holds the first words, no separator of paths, and is short."""
    assert Item(prompt).slug == slug
