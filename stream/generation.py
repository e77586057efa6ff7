"""What a stream makes: idle, live or paused, from the commands to the frames handed to the encoder."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from pipeline.geometry import Size
from pipeline.types import Chunk, Drift, Heard, Mode, PicturePolicy, Pixels, Policy
from stream.abilities import check_mode, check_policy, fitting, require_picture, require_running
from stream.capacity import Timing
from stream.control import Control, Restart
from stream.delivery import Delivery
from stream.errors import StreamError, words_of
from stream.generation_time import GenerationTime
from stream.meter import Meter
from stream.pace import Pace, TakesCheckpoints
from stream.picture import Picture
from stream.playout import DueFrame, PlayoutBuffer
from stream.producer import ChunkProducer
from stream.protocol import Latency, StreamState
from stream.services import Answer, Services, Shown, answer_all
from stream.sink import MakeSink

logger = logging.getLogger(__name__)


class Generation:
    """One generation: its state, its conditioning, its frames on their way.

    ``failed(reason)`` is called when it can't go on; :meth:`close` is then up to the owner.
    """

    def __init__(
        self,
        stream_id: str,
        services: Services,
        make_sink: MakeSink,
        failed: Callable[[str], None],
    ) -> None:
        self._id = stream_id
        self._services = services
        self._failed = failed
        engine, config = services.engine, services.config
        self.state: StreamState = "idle"
        mode: Mode = "i2v" if "i2v" in engine.capabilities.modes else "t2v"
        self.control: Control[Picture, Answer] = Control(mode, lambda picture: fitting(engine.capabilities, picture))
        self.playout = PlayoutBuffer(services.timer)
        self.sink = make_sink(stream_id, self.playout.take_slot)
        self.meter = Meter(services.timer, services.observer)
        self.on_chunk: Callable[[DueFrame], None] | None = None
        """Called with each chunk's first frame when that is sent."""
        times, capacity = GenerationTime(engine.chunk_seconds), services.capacity
        self.delivery = Delivery(config, capacity)
        pace = Pace(
            buffer_s=self.delivery.buffer_s,
            quality=lambda: self.delivery.quality,
            time=times,
            made=self._chunk_made,
            take_spare=capacity.take_spare,
            company=lambda: capacity.company,
        )
        self._producer = ChunkProducer(stream_id, engine, self.playout, self.control, pace)
        self._producing: asyncio.Task[None] | None = None
        self._pumping = self._own(self._pump(), "playout")
        self._next_frame_answers: list[Answer] = []
        self._pauses: list[Answer] = []
        self._reset_seed: int | None = None
        self.on_air: Pixels | None = None
        """The pixels of the frame sent last, None before the first."""
        self.drift: Drift | None = None
        """How far the chunk sent last had drifted, None where that is not known."""
        self.heard: Heard | None = None
        """What the model understood of the prompt on air, None where it does not tell."""

    @property
    def shown(self) -> Shown:
        """The frame sent last."""
        return Shown(self.playout.last_frame or 0, self.playout.last_pts, self._services.timer.time())

    @property
    def frames_sent(self) -> int:
        """How many frames were sent, over all takes."""
        return 0 if self.playout.last_frame is None else self.playout.last_frame + 1

    @property
    def size(self) -> Size:
        """Width and height of its video: in force while it runs, else those that the next start will make."""
        control, can = self.control, self._services.engine.capabilities
        in_force = control.size if self.state in ("live", "paused") else None
        return in_force or fitting(can, control.picture if control.mode == "i2v" else None)

    @property
    def covered(self) -> tuple[Size, ...]:
        """The sizes that a picture which comes now may be shown in: the one in force, or all until the next start."""
        return (self.size,) if self.state in ("live", "paused") else self._services.engine.capabilities.sizes

    def start(self, seed: int | None, answer: Answer) -> None:
        """Go live in a new take, under a random seed if none is given.

        Raises StreamError ``wrong_state``, ``no_image``, ``at_capacity``.
        """
        if self.state != "idle":
            raise StreamError("wrong_state", f"The stream is {self.state}; stop it first, or reset it.")
        if self.control.mode == "i2v":
            require_picture(self.control.picture)
        self._services.capacity.admit(self._id)
        if seed is None:
            seed = secrets.randbits(32) if self._reset_seed is None else self._reset_seed
        self._reset_seed = None
        self.control.begin_take(seed, answer)
        self._run()

    def pause(self, answer: Answer) -> None:
        """Freeze the screen at once, or once the frame on its way is sent. Raises ``wrong_state``."""
        require_running(self.state, "pause")
        self._pauses.append(answer)
        if not (self.state == "live" and self.playout.stands_still):
            self._freeze(self.shown)

    def resume(self, answer: Answer) -> None:
        """Go on where the screen froze. Raises ``wrong_state`` when idle, ``at_capacity``."""
        require_running(self.state, "resume")
        self._services.capacity.admit(self._id)
        self._next_frame_answers += [*self._pauses, answer]
        self._pauses = []
        if self.state == "paused":
            self._go_live()

    def stop(self) -> Shown:
        """Go idle; gives the frame that stays on the screen, which answers what it overtakes."""
        if self.state in ("live", "paused"):
            self.state = "idle"
            self.playout.clear()
            if self._producer.checkpoint is not None:
                self._producer.checkpoint.thrown_away(self.frames_sent)
            self._services.capacity.release(self._id)
            if self._producing is not None:
                self._producing.cancel()
            overtaken = self.control.abandon_take() + self._take_next_frame_answers() + self._pauses
            self._pauses = []
            answer_all(overtaken, self.shown)
            logger.info("stream %s: stopped after frame %s", self._id, self.playout.last_frame)
        return self.shown

    def reset(self, seed: int | None, answer: Answer) -> None:
        """Begin a new take, under the same seed if none is given; when idle, the next start does it."""
        if self.state == "idle":
            self._reset_seed = self._reset_seed if seed is None else seed
        self.control.begin_take((self.control.seed or 0) if seed is None else seed, answer)
        self._changed()

    async def save(self) -> Restart[Picture]:
        """Save the take from which the screen is fed. Raises ``wrong_state``, ``not_supported``."""
        engine, control, take = self._services.engine, self.control, self.control.take
        if not engine.is_resumable:
            raise StreamError("not_supported", f"{engine.capabilities.model} can't go back to where it was.")
        if self.state not in ("live", "paused") or not self._producer.has_begun(take):
            raise StreamError("wrong_state", "There is nothing to go back to yet; ask again once the video plays.")
        asked = control.restart(b"")
        saved = await engine.save(self._id)
        if control.take != take:
            raise StreamError("wrong_state", "The video began anew meanwhile; ask again.")
        return replace(asked, saved=saved)

    def go_back(self, to: Restart[Picture], answer: Answer) -> None:
        """Go on from where a take was saved; one that is idle starts there. Raises ``at_capacity``."""
        if self.state == "idle":
            self._services.capacity.admit(self._id)
        self.control.go_back(to, answer)
        self._run() if self.state == "idle" else self._changed()

    def keep_by(self, checkpoint: TakesCheckpoints) -> None:
        """Have checkpoints kept, where the model can be saved."""
        self._producer.checkpoint = checkpoint if self._services.engine.is_resumable else None

    def set_mode(self, mode: Mode, answer: Answer) -> None:
        """Turn to a mode. Raises ``not_supported``, and ``no_image`` when that is missed at once."""
        check_mode(self._services.engine.capabilities, mode)
        if mode == "i2v" and self.state != "idle":
            require_picture(self.control.picture)
        self.control.set_mode(mode, answer)
        self._changed()

    def set_prompt(self, prompt: str, policy: Policy, over_s: float, answer: Answer) -> None:
        """Change the prompt. Raises ``not_supported`` for a policy that the model lacks."""
        check_policy(self._services.engine.capabilities, policy)
        self.control.set_prompt(prompt, policy, answer, over_s)
        self._changed()

    async def prepare(self, prompt: str) -> None:
        """Have a prompt read that may be set soon, before a start the picture too. Raises what the engine does."""
        asked, engine = replace(self.control.asked(), prompt=prompt, size=self.size), self._services.engine
        if self.state == "idle":
            await engine.prepare(self._id, asked)
        elif self.state == "live" and self._producer.has_begun(self.control.take):
            await engine.prepare(self._id, replace(asked, image=None))
            self._producer.read(prompt)

    def set_picture(self, picture: Picture, enter: tuple[PicturePolicy, float], answer: Answer) -> None:
        """Change the picture: a new take in i2v, kept for later in t2v.

        ``enter`` is how it comes into a video that runs, and the seconds of a blend.
        """
        policy, over_s = enter
        self.control.set_picture(picture, answer, policy if self.state != "idle" else "cut", over_s)
        self._changed()

    def configure(
        self, fps: float | None, bitrate_kbps: int | None, latency: Latency | None
    ) -> dict[str, float | int | str]:
        """Set what is given, clamped to what there is; gives the values in force."""
        if fps is not None:
            self.delivery.choose_fps(fps)
        if bitrate_kbps is not None:
            self.delivery.bitrate_kbps = self.sink.set_bitrate(self.delivery.clamped_kbps(bitrate_kbps))
        if latency is not None:
            self.delivery.latency = latency
            self._producer.pace.buffer_s = self.delivery.buffer_s
        self.playout.nudge()
        return self.delivery.in_force()

    async def close(self) -> None:
        """End every task and free what they hold; idempotent."""
        self.state = "ended"
        self._services.capacity.release(self._id)
        self.playout.clear()
        tasks = {task for task in (self._producing, self._pumping) if task is not None}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self.sink.close()

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=f"{name}-{self._id}")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self.state == "ended":
            return
        told = words_of(error)
        logger.error("stream %s: %s failed: %s", self._id, task.get_name(), error, exc_info=None if told else error)
        self._failed(told or "Something went wrong in the server.")

    async def _pump(self) -> None:
        while True:
            frame = await self.playout.next_frame()
            making = None if frame.opens is None else frame.opens.making
            shown = Shown(frame.index, frame.pts, self._services.timer.time(), making)
            self.meter.frame(self.playout.underruns)
            self.on_air, self.drift = frame.pixels, frame.chunk.drift
            await self.sink.publish(frame.pixels, frame.index, frame.pts)
            self._after(frame, shown)

    def _after(self, frame: DueFrame, shown: Shown) -> None:
        if self._producer.checkpoint is not None:
            self._producer.checkpoint.sent(self.frames_sent)
        if frame.opens is not None:
            self.heard = frame.chunk.heard
            if self.on_chunk is not None:
                self.on_chunk(frame)
            answer_all(self.control.answered_by(frame.opens.conditioning.revision), shown)
        answer_all(self._take_next_frame_answers(), shown)
        if self._pauses:
            self._freeze(shown)

    def _freeze(self, shown: Shown) -> None:
        if self.state == "live":
            self.state = "paused"
            self.playout.freeze()
            self._services.capacity.release(self._id, keep_state=True)
        answers, self._pauses = self._pauses, []
        answer_all(self._take_next_frame_answers() + answers, shown)

    def _take_next_frame_answers(self) -> list[Answer]:
        answers, self._next_frame_answers = self._next_frame_answers, []
        return answers

    def _go_live(self) -> None:
        self.state = "live"
        self.meter.begin()
        self.playout.run()

    def _run(self) -> None:
        self._go_live()
        self._producing = self._own(self._producer.run(self._producing), "producer")
        logger.info("stream %s: live, seed %s", self._id, self.control.seed)

    def _changed(self) -> None:
        if self.state in ("live", "paused"):
            self._producer.overtake()

    def _chunk_made(self, chunk: Chunk, seconds: float, timing: Timing) -> None:
        self.meter.chunk(seconds, len(chunk.frames))
        self._services.capacity.observe(chunk.quality, self._services.engine.busy_s, timing)
