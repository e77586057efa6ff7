"""The mailbox of a stream: commands fold into the next conditioning, each remembers who waits for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pipeline.geometry import Size
from pipeline.types import Conditioning, Mode, PicturePolicy, Pixels, Policy

AckT = TypeVar("AckT")


class Picture(Protocol):
    """The part of :class:`stream.picture.Picture` that conditions a model: uint8 [H, W, 3], upright sRGB."""

    @property
    def pixels(self) -> Pixels:
        """The picture."""
        ...


PictureT = TypeVar("PictureT", bound=Picture)


@dataclass(frozen=True, slots=True)
class Making:
    """When a chunk was begun and when it was there, in loop time; the seconds in which its prompt was read."""

    begun: float
    ended: float
    reading_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """What a take was opened under, and the saved state that it goes on from."""

    conditioning: Conditioning
    saved: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What the next chunk is made under, and in which take: another take begins the model's state anew.

    ``making`` is None until the chunk is there. ``saved`` is what the take goes on from, if it does not begin anew.
    ``openings`` is how the take came to be, once it is open: it, and before it those that it comes out of, as far back
    as no frame of theirs was sent by then.
    """

    conditioning: Conditioning
    take: int
    making: Making | None = None
    saved: bytes | None = None
    openings: tuple[Opening, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Restart(Generic[PictureT]):
    """What a take that was saved goes on from: what was asked for then, its size, and the model's state.

    The prompt may be one that no chunk was made under yet: ``policy`` and ``over_s`` tell how it comes in.
    """

    mode: Mode
    prompt: str
    picture: PictureT | None
    seed: int
    saved: bytes
    policy: Policy = "auto"
    over_s: float = 0.5
    size: Size | None = None


class Control(Generic[PictureT, AckT]):
    """What was asked for so far; the last command wins, and every one of them is answered.

    An ``ack`` is whatever the caller wants back when the frame that answers the command is sent. A command
    that another overtakes before its chunk is answered with that other one's frame, because a chunk's
    revision answers all revisions up to it. ``fit`` gives the size that a picture is shown in, or no picture.
    """

    def __init__(self, mode: Mode, fit: Callable[[PictureT | None], Size | None] = lambda picture: None) -> None:
        self.mode: Mode = mode
        self._fit = fit
        self.size: Size | None = None
        """Of the video since the newest start or reset, whatever picture came in later; None before the first."""
        self.prompt = ""
        self.picture: PictureT | None = None
        self.seed: int | None = None
        """None until a take was given one."""
        self.revision = 0
        self.take = 0
        self.policy: Policy = "auto"
        self.over_s = 0.5
        self._saved: bytes | None = None
        self._enter: PicturePolicy = "cut"
        self._enter_s = 0.0
        self._goes_on = False
        """Whether a chunk was made under the newest take, or that one comes out of one of which it was."""
        self._acks: list[tuple[int, AckT]] = []
        self._take_acks: list[tuple[int, AckT]] = []
        self._kept_acks: list[AckT] = []

    def set_prompt(self, prompt: str, policy: Policy, ack: AckT, over_s: float = 0.5) -> None:
        """Ask for another prompt; ``over_s`` is the length of a blend in seconds."""
        self.prompt, self.policy, self.over_s = prompt, policy, over_s
        self._fold(ack)

    def set_mode(self, mode: Mode, ack: AckT) -> None:
        """Ask for another mode, in a new take; the one in force is answered like any command."""
        if mode != self.mode:
            self.mode = mode
            self._begin_anew()
        self._fold(ack)
        if mode == "i2v":
            self._acks += [(self.revision, kept) for kept in self._kept_acks]
            self._kept_acks = []

    def set_picture(self, picture: PictureT, ack: AckT, enter: PicturePolicy = "cut", enter_s: float = 0.0) -> None:
        """Ask for another picture: a new take in i2v; in t2v it is kept, and answered when the mode turns.

        ``enter`` is how the take comes out of the one before, where that is not to end anyway.
        """
        self.picture = picture
        if self.mode == "i2v":
            is_cut = enter == "cut" or not self._goes_on
            self._begin_anew()
            if not is_cut:
                self._goes_on, self._enter, self._enter_s = True, enter, enter_s
            self._fold(ack)
        else:
            self._kept_acks.append(ack)

    def begin_take(self, seed: int, ack: AckT) -> None:
        """Ask for a new take under a seed, of the size that its picture wants."""
        self.seed = seed
        self.size = self._fit(self.picture if self.mode == "i2v" else None)
        self._begin_anew()
        self.revision += 1
        self._take_acks.append((self.revision, ack))

    def go_back(self, to: Restart[PictureT], ack: AckT) -> None:
        """Ask for a take that goes on from one that was saved, under what was asked for then."""
        self.mode, self.prompt, self.picture = to.mode, to.prompt, to.picture
        self.policy, self.over_s = to.policy, to.over_s
        self.begin_take(to.seed, ack)
        self.size = to.size or self.size
        self._saved = to.saved

    def restart(self, saved: bytes) -> Restart[PictureT]:
        """Give what a take goes on from that was saved now."""
        asked = self.mode, self.prompt, self.picture, self.seed or 0
        return Restart(*asked, saved, self.policy, self.over_s, self.size)

    @property
    def carries(self) -> bool:
        """Whether the newest take comes out of the one before."""
        return self._enter != "cut"

    def _begin_anew(self) -> None:
        self.take += 1
        self._saved = None
        self._goes_on, self._enter, self._enter_s = False, "cut", 0.0

    def _fold(self, ack: AckT) -> None:
        self.revision += 1
        self._acks.append((self.revision, ack))

    def snapshot(self, quality: int) -> Snapshot:
        """Freeze what was asked so far for one chunk; ``quality`` indexes the model's ladder."""
        self._goes_on = True
        return Snapshot(self.asked(quality), self.take, saved=self._saved)

    def asked(self, quality: int = 0) -> Conditioning:
        """Tell what the next chunk would be made under."""
        image = self.picture.pixels if self.picture is not None and self.mode == "i2v" else None
        return Conditioning(
            mode=self.mode,
            prompt=self.prompt,
            image=image,
            seed=self.seed or 0,
            revision=self.revision,
            policy=self.policy,
            quality=quality,
            enter=self._enter,
            enter_s=self._enter_s,
            over_s=self.over_s,
            size=self.size,
        )

    def answered_by(self, revision: int) -> list[AckT]:
        """Give, once, the acks of the commands that a chunk of this revision answers, oldest first."""
        ready = sorted((pair for pair in self._acks + self._take_acks if pair[0] <= revision), key=lambda pair: pair[0])
        self._acks = [pair for pair in self._acks if pair[0] > revision]
        self._take_acks = [pair for pair in self._take_acks if pair[0] > revision]
        return [ack for _, ack in ready]

    def abandon_take(self) -> list[AckT]:
        """Give, once, the acks of takes that a stop overtook; other commands wait for the next start."""
        acks = [ack for _, ack in self._take_acks]
        self._take_acks = []
        return acks
