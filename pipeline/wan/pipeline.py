"""Wan2.1 made causal, behind the interface of a pipeline: noise, few steps, frames, clean context."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pipeline.drift import Seen, follow, pulled
from pipeline.errors import CapacityError, ConditioningError
from pipeline.interface import Progress, silent
from pipeline.networks.transformer import CrossKeyValues
from pipeline.preprocess import FRAMES_PER_LATENT
from pipeline.schedule import FlowSchedule
from pipeline.stages import Stages
from pipeline.travel import Said, alone
from pipeline.types import Chunk, Conditioning, VideoFormat
from pipeline.wan.again import boundary_after, flushed, reach, read_again, remembered
from pipeline.wan.capabilities import admit, capabilities_of
from pipeline.wan.decoding import LiveDecoder, prepared
from pipeline.wan.examples import EXAMPLES
from pipeline.wan.fade import Fade
from pipeline.wan.frames import features_of
from pipeline.wan.given import Given, beside, shown
from pipeline.wan.going_back import cuts, way_back
from pipeline.wan.known import Known
from pipeline.wan.making import new_window, quick_passes
from pipeline.wan.parts import Parts
from pipeline.wan.plan import Plan as Plan
from pipeline.wan.sampler import Guide, Sampler, draw
from pipeline.wan.saving import Kept, read_saved, save_state
from pipeline.wan.sizes import PIXELS_PER_LATENT
from pipeline.wan.state import Boundary, Made, Pending, WanState
from pipeline.wan.switch import Course, new_course, relabelled, turn
from pipeline.wan.texts import Texts
from pipeline.wan.warming import warm_up
from pipeline.wan.window import WindowCache


class WanPipeline:
    """A causal Wan model behind the interface of :class:`pipeline.interface.Pipeline`.

    A picture enters as the first latent (``first_latent``), or as channels and CLIP features that every chunk sees
    (``clip``). The first frame of an i2v take is the picture as the decoder shows it.
    """

    def __init__(self, parts: Parts, plan: Plan) -> None:
        self._parts, self._plan = parts, plan
        self._size = (plan.height // PIXELS_PER_LATENT, plan.width // PIXELS_PER_LATENT)
        schedule, passes = FlowSchedule(plan.shift), quick_passes(parts, plan)
        self._samplers = [
            Sampler(parts.transformer, schedule, steps, plan.positions, plan.context_noise, passes)
            for steps in plan.steps
        ]
        self._decoder = LiveDecoder(parts.decoder, prepared(parts.decoder, parts.device), plan.latents_per_chunk)
        self._reach = reach(plan.window, plan.sink, plan.latents_per_chunk, parts.decoder.memory_latents)
        self._texts = Texts(parts.text, EXAMPLES[plan.image_entry])
        self._open = 0
        self.format = VideoFormat(plan.width, plan.height, plan.fps, plan.latents_per_chunk, FRAMES_PER_LATENT)
        self.capabilities = capabilities_of(plan)

    def warm_up(self, progress: Progress = silent) -> tuple[float, ...]:
        """Make chunks of every quality until the window has rolled; return the seconds of the last of each."""
        self._texts.calibrate()
        return warm_up(self, self._plan, self._parts.device, progress)

    @torch.inference_mode()
    def open(self, conditioning: Conditioning) -> WanState:
        """Begin a take. Raises ConditioningError for a mode it lacks or a missing picture, CapacityError when full."""
        admit(self.capabilities, conditioning)
        if self._open >= self._plan.max_streams:
            raise CapacityError(f"all {self._plan.max_streams} streams of this model are taken")
        cache, begin = new_window(self._parts, self._plan), Boundary(0, 0, 0, 0, None)
        state = WanState(conditioning.seed, conditioning.image, Given(), cache, begin)
        if conditioning.mode == "i2v":
            self._begin_with(state, *shown(conditioning.image, self._parts, self._plan), conditioning.prompt)
        self._open += 1
        return state

    @torch.inference_mode()
    def swap(self, state: WanState, conditioning: Conditioning) -> WanState:
        """Go on under another picture.

        ``blend`` begins anew from it, while one chunk more of the video before fades out. ``flush`` makes it the
        window's first latent, and of the rest keeps the chunk made last: what moves goes on.
        """
        admit(self.capabilities, conditioning)
        has_made = state.has_begun
        given, picture = shown(conditioning.image, self._parts, self._plan)
        self.commit(state)
        here, fade = state.now, None
        if conditioning.enter == "blend" and conditioning.enter_s > 0:
            before = torch.from_numpy(self.generate_chunk(state, conditioning).frames).to(self._parts.device)
            fade = Fade(before, here.frames, conditioning.enter_s * float(self._plan.fps))
        state.seed, state.image, state.fade, state.cross = conditioning.seed, conditioning.image, fade, None
        state.past.clear()
        state.cache.clear()
        state.pending = state.seen = None
        if has_made and conditioning.enter == "flush":
            state.given, state.begun = given, -1
            state.known = flushed(state, picture, alone(conditioning.prompt))
            self._read_again(state, state.cache, state.known)
            state.now = replace(here, cached=state.known[-1].end, watch=None, course=new_course(conditioning.prompt))
        else:
            state.known, state.begun = [], here.chunks
            state.now = replace(here, cached=0, memory=None, watch=None, course=Course())
            self._begin_with(state, given, picture, conditioning.prompt)
        return state

    @torch.inference_mode()
    def generate_chunk(self, state: WanState, conditioning: Conditioning) -> Chunk:
        """Make the next chunk; the state moves only if this returns. Raises ConditioningError."""
        admit(self.capabilities, conditioning)
        if not 0 <= conditioning.quality < len(self._samplers):
            raise ConditioningError(f"quality {conditioning.quality} is not one of 0..{len(self._samplers) - 1}")
        stages = Stages(self._parts.device)
        self.commit(state)
        stages.lap("context")
        begin, count = state.now, self._plan.count(state.now.cached, conditioning.mode)
        course, cache, known = self._turned(state, conditioning)
        said = course.travel.said(begin.made + count / 2)
        guide = Guide(self._cross(state, said), beside(state.given, begin.cached, count))
        stages.lap("text")
        sampler = self._samplers[conditioning.quality]

        def fresh(step: int) -> Tensor:
            # Drawn while the device is at the step before.
            latents = range(begin.cached, begin.cached + count)
            return draw(state.seed, latents, step, (self._size, self._parts.device))

        noise = fresh(0)
        is_prepared = cache is state.cache and course.past == begin.course.past
        seen = (state.seen if is_prepared else None) or cache.see(count, self._plan.positions, course.past)
        clean = pulled(begin.watch, sampler.sample(noise, fresh, guide, seen))
        stages.lap("denoise")
        frames, memory = self._decoder.decode(clean, begin.memory)
        is_first = begin.chunks == state.begun
        if is_first and state.given.frame is not None:
            frames = torch.cat([state.given.frame, frames])
        if state.fade is not None:
            frames = state.fade.over(frames, begin.frames)
        pixels = self._decoder.to_host(frames)
        stages.lap("decode")
        made = begin.made + count + (begin.cached if is_first else 0)
        state.past = deque([*state.past, Made(begin, clean, state.cache, state.known)], maxlen=2)
        features = features_of(frames, self._parts.image_encoder)
        shown_now = Seen(pixels[-1], len(pixels) / float(self._plan.fps), clean, features)
        watch = follow(begin.watch, conditioning, shown_now, self._plan.reanchor)
        after, frames_made = begin.cached + count, begin.frames + len(pixels)
        state.now = Boundary(made, after, frames_made, begin.chunks + 1, memory, watch, course)
        state.cache, state.pending, state.seen = cache, Pending(clean, guide, seen), None
        state.known = self._reach.kept([*known, Known(clean, begin.cached, count, said, past=course.past)], after)
        if state.fade is not None and state.past[0].begin.frames >= state.fade.ends:
            state.fade = None
        return Chunk(
            index=begin.chunks,
            first_frame=begin.frames,
            first_latent=begin.made,
            latents=made - begin.made,
            frames=pixels,
            fps=self._plan.fps,
            revision=conditioning.revision,
            quality=conditioning.quality,
            timings_ms=stages.ms,
            cuts=cuts(begin, count, state.begun, course, self._plan),
            drift=watch.drift(),
        )

    @torch.inference_mode()
    def commit(self, state: WanState) -> None:
        """Read the chunk made last, so that the next one sees it; does nothing when that is done."""
        if state.pending is not None:
            guide = state.pending.guide
            self._read(state, state.pending)
            past = state.now.course.past
            state.seen = state.cache.see(self._plan.latents_per_chunk, self._plan.positions, past)
            self._samplers[0].prepare(guide, state.seen)

    @torch.inference_mode()
    def truncate(self, state: WanState, latent: int) -> None:
        """Go back to a chunk's beginning, or to a cut inside it. Raises TruncationError where there is none.

        A chunk's latents are made and read together; those before a cut stay as they are, so what follows sees in them
        the ones that are gone, and no more of those.
        """
        if latent == state.now.made:
            return
        back = way_back(state, latent, self._plan)
        made, kept = back.made, back.kept
        if kept and back.is_last and state.pending is not None:
            self._read(state, state.pending)
        now, cache, known = (
            (boundary_after(self._decoder, made, kept, back.course), back.cache, back.known)
            if kept
            else (made.begin, made.cache, made.known)
        )
        cache.truncate(now.cached, self._plan.latents_per_chunk, now.course.past)
        state.pending = state.seen = None
        state.now, state.cache = now, cache
        state.past = deque([other for other in state.past if other.begin.made < latent], maxlen=2)
        end = now.cached
        state.known = [replace(one, count=min(one.count, end - one.first)) for one in known if one.first < end]

    def save(self, state: WanState) -> bytes:
        """Save what came to a stream since it was opened: clean latents, and the texts that they were made under."""
        return save_state(state)

    @torch.inference_mode()
    def restore(self, state: WanState, saved: bytes) -> None:
        """Take a stream just opened to where the saved one was. Raises PipelineError when that was another's.

        As long as its window had lost no latent this is bit-equal. Later the window's oldest latents are read beside
        fewer than they were, and the stream goes on a little otherwise than it would have.
        """
        read = read_saved(saved, state, (self._size, self._parts.device))
        *begins, now = read.boundaries
        state.known, state.begun = now.known, read.begun
        self._read_again(state, state.cache, state.known, read.is_pending)
        windows = {now.window: state.cache}
        for one in reversed(begins):
            if one.window not in windows:
                windows[one.window] = new_window(self._parts, self._plan)
                self._read_again(state, windows[one.window], one.known)
        before = remembered(self._decoder, state.known)

        def boundary(one: Kept) -> Boundary:
            return Boundary(*one.counts, before[one.counts[1]], one.watch, one.course)

        clean = {one.first: one.clean for one in state.known}
        made = [Made(boundary(one), clean[one.counts[1]], windows[one.window], one.known) for one in begins]
        state.now, state.past = boundary(now), deque(made, maxlen=2)

    @torch.inference_mode()
    def prepare(self, conditioning: Conditioning) -> None:
        """Embed a prompt, and remember it."""
        self._texts(conditioning.prompt)

    def close(self, state: WanState) -> None:
        """Give the stream's place and memory back; closing twice is closing once."""
        if not state.closed:
            state.closed = True
            state.pending = state.seen = state.cross = state.fade = None
            state.past.clear()
            state.known.clear()
            self._open -= 1

    def _begin_with(self, state: WanState, given: Given, latent: Tensor, prompt: str) -> None:
        """Begin from a picture; as the first latent the window sees it, and the decoder goes on from it."""
        state.given = given
        if self._plan.image_entry == "clip":
            return
        frame, memory = self._decoder.decode(latent, None)
        state.given = Given(frame=frame)
        state.known = [Known(latent, 0, 1, alone(prompt), is_given=True)]
        self._read_again(state, state.cache, state.known)
        state.now = replace(state.now, cached=1, memory=memory)

    def _turned(self, state: WanState, asked: Conditioning) -> tuple[Course, WindowCache, list[Known]]:
        """Under what the next chunk is made: another prompt may come with another window. Changes no state."""
        begin, cache, known = state.now, state.cache, state.known
        if not state.has_begun:
            return new_course(asked.prompt), cache, known
        course, reads = turn(begin.course, asked, (begin.made, begin.cached), self._plan, self._texts.is_far)
        if not reads:
            return course, cache, known
        # Beside the one so far, which is gone back to if this chunk is taken back.
        known = relabelled(known, cache.kept(self._plan.latents_per_chunk, course.past), course, begin.made)
        cache = new_window(self._parts, self._plan)
        self._read_again(state, cache, known)
        return course, cache, known

    def _read_again(
        self, state: WanState, cache: WindowCache, known: Sequence[Known], is_pending: bool = False
    ) -> None:
        """Fill a window from what is known of a stream; what is left pending of it is the stream's."""

        def guide(one: Known) -> Guide:
            return Guide(self._cross(state, one.said), beside(state.given, one.first, one.clean.shape[2]))

        pending = read_again(cache, known, self._samplers[0], guide, is_pending)
        if cache is state.cache:
            state.pending, state.seen = pending, None

    def _read(self, state: WanState, pending: Pending) -> None:
        own = self._samplers[0].read(pending.clean, pending.guide, pending.seen)
        state.cache.append(own, pending.clean.shape[2])
        state.pending = None

    def _cross(self, state: WanState, said: Said) -> list[CrossKeyValues]:
        """Keys and values of what is said: kept while it stands, since they are large; embeddings for longer."""
        if state.cross is None or state.said != said:
            text = self._texts.mixed(said).to(self._parts.dtype)
            state.cross = self._parts.transformer.cross_keys_values(text, state.given.features)
            state.said = said
        return state.cross
