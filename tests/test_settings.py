"""Settings of any dataclass of sections; what they say in full is in test_config."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import keys, load, ranged


@dataclass(frozen=True, slots=True)
class Lamp:
    """A section."""

    colour: str = field(default="red", metadata={"choices": ("red", "green")})
    watts: int = ranged(5, 1, 60)
    steps: list[int] = field(default_factory=lambda: [10, 5], metadata={"range": (0, 10)})


@dataclass(frozen=True, slots=True)
class House:
    """All sections."""

    lamp: Lamp = field(default_factory=Lamp)


def test_any_dataclass_of_sections_will_do(tmp_path: Path) -> None:
    """Defaults, then the file, then the arguments."""
    path = tmp_path / "house.yaml"
    path.write_text("lamp:\n  colour: green\n  watts: 7\n")
    assert list(keys(House)) == ["lamp.colour", "lamp.watts", "lamp.steps"]
    assert load(House, None) == House()
    assert load(House, path, ["lamp.watts=8", "lamp.steps=4,2"]) == House(Lamp("green", 8, [4, 2]))
    assert load(House, None, ["lamp.steps=[4, 2]"]).lamp.steps == [4, 2]


def test_sections_of_another_program_are_ignored(tmp_path: Path) -> None:
    """What is told to be another's may hold anything; what is not is an error, in the file and as an argument."""
    path = tmp_path / "house.yaml"
    path.write_text("lamp:\n  watts: 7\ngarden:\n  trees: 3\n")
    assert load(House, path, ignored=("garden",)).lamp.watts == 7
    with pytest.raises(ConfigError, match=r"unknown key 'garden'.*: the sections are lamp"):
        load(House, path)
    with pytest.raises(ConfigError, match=r"unknown key 'garden\.trees'"):
        load(House, path, ["garden.trees=1"], ignored=("garden",))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("lamp.watts=61", "lamp.watts: 61 is out of bounds, 1 to 60"),
        ("lamp.colour=blue", "lamp.colour: 'blue' is not one of red, green"),
        ("lamp.steps=4,11", "lamp.steps: 11 is out of bounds, 0 to 10"),
        ("lamp.steps=a", "lamp.steps"),
        ("watts=1", "did you mean lamp.watts?"),
        ("bright", "'bright' is not key=value; for example lamp.watts=5"),
    ],
)
def test_a_wrong_value_names_its_key(override: str, says: str) -> None:
    """Bounds hold for every number of a list, too."""
    with pytest.raises(ConfigError) as caught:
        load(House, None, [override])
    assert says in str(caught.value)
