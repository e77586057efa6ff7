"""How far a run is, on a terminal and in a log."""

import io

from pipeline.progress import ProgressBar


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_a_terminal_shows_item_frames_speed_and_what_is_left() -> None:
    """After 8 of 16 frames in 2 s, with one more item to come, 24 frames are left: 6 s at 4 frames a second."""
    out, clock = Terminal(), Clock()
    progress = ProgressBar(2, out, clock)
    progress.begin("0001-snow", 16)
    clock.now += 2.0
    progress.advance(8)
    shown = out.getvalue().rpartition("\r")[2]
    assert shown == "\x1b[K[############............] item 1 of 2  frame 8 of 16  4.0 frames/s  0:06 left"
    progress.end("made")
    assert out.getvalue().endswith("\r\x1b[K[1/2] 0001-snow: made, 8 frames in 2.0 s\n")


def test_the_speed_is_that_of_all_items() -> None:
    """The second item begins with the speed of the first, and items that were there already do not count."""
    out, clock = Terminal(), Clock()
    progress = ProgressBar(3, out, clock)
    progress.begin("a", 10)
    progress.end("is there already")
    progress.begin("b", 10)
    clock.now += 5.0
    progress.advance(10)
    progress.end("made")
    progress.begin("c", 10)
    assert "2.0 frames/s  0:05 left" in out.getvalue().rpartition("\r")[2]


def test_it_is_not_drawn_for_every_frame() -> None:
    """A thousand frames in a moment are a few drawings, the last frame among them."""
    out, clock = Terminal(), Clock()
    progress = ProgressBar(1, out, clock)
    progress.begin("a", 1050)
    for _ in range(1050):
        clock.now += 0.0005
        progress.advance(1)
    assert out.getvalue().count("\r") < 12
    assert "frame 1050 of 1050" in out.getvalue().rpartition("\r")[2]


def test_a_log_has_one_plain_line_an_item() -> None:
    """Where nobody watches there is no bar and nothing is overwritten."""
    out, clock = io.StringIO(), Clock()
    progress = ProgressBar(2, out, clock)
    for name, outcome in (("a", "made"), ("b", "failed: no picture")):
        progress.begin(name, 4)
        if outcome == "made":
            clock.now += 1.0
            progress.advance(4)
        progress.end(outcome)
    progress.clear()
    assert out.getvalue() == "[1/2] a: made, 4 frames in 1.0 s\n[2/2] b: failed: no picture\n"
