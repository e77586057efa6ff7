from dataclasses import replace

import pytest

from pipeline.errors import ConfigError
from pipeline.wan.memory import GIB, Demand, Placement, demand, place, size
from pipeline.wan.sizes import SIZES

PIXELS = (832, 480)
NEEDED = demand(SIZES["1.3b"], 1_418_996_800, (12, 3), PIXELS, wan_vae=False)


def test_weights_and_window_are_exact() -> None:
    """At 480x832 a latent of the window takes 287.5 MB, as its shape says."""
    assert NEEDED.transformer == 2 * 1_418_996_800
    assert NEEDED.window == 12 * 30 * 2 * 1560 * 1536 * 2


@pytest.mark.parametrize(
    ("gib", "expected"),
    [
        (8, Placement("streamed", "fp8", False, 256)),
        (12, Placement("streamed", "dtype", False, None)),
        (16, Placement("streamed", "dtype", True, None)),
        (24, Placement("device", "dtype", True, None)),
        (80, Placement("device", "dtype", True, None)),
    ],
)
def test_what_costs_least_is_given_up_first(gib: int, expected: Placement) -> None:
    """With less memory goes the encoder's place, then the kept window, then whole pictures, then the weights' bits."""
    placement = place(NEEDED, gib * GIB)
    assert placement == expected
    assert size(NEEDED, placement) <= gib * GIB


def test_wishes_are_kept() -> None:
    """What the configuration names is not chosen otherwise, where it fits."""
    assert place(NEEDED, 80 * GIB, text="cpu").text == "cpu"
    assert place(NEEDED, 80 * GIB, storage="fp8").storage == "fp8"
    with pytest.raises(ConfigError):
        place(NEEDED, 12 * GIB, text="device")


def test_too_little_memory_is_told_with_what_would_do() -> None:
    """The message has both numbers and the settings that take less."""
    with pytest.raises(ConfigError, match=r"needs \d+\.\d GiB .* 2\.0 GiB are free; a smaller wan\.window"):
        place(NEEDED, 2 * GIB)


def test_every_part_counts() -> None:
    """More of anything takes more, and a part that is elsewhere takes nothing."""
    base = size(NEEDED, Placement("device", "dtype", True, None))
    for name in Demand.__dataclass_fields__:
        if name not in ("encoding", "unpacked"):
            more = replace(NEEDED, **{name: getattr(NEEDED, name) + 8 * GIB})
            assert size(more, Placement("device", "dtype", True, None)) > base
    packed = Placement("device", "fp8", True, None)
    assert size(replace(NEEDED, unpacked=8 * GIB), packed) > size(NEEDED, packed)
    assert size(replace(NEEDED, encoding=99 * GIB), Placement("cpu", "dtype", True, 256)) < base
