"""The whole way of a chunk: noise, few denoising steps under text and past, frames, clean context."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import torch
from torch import Tensor

from pipeline.cache import KVCache
from pipeline.drift import Seen, follow
from pipeline.errors import AbandonedError, CapacityError, TruncationError
from pipeline.host_copy import HostCopy
from pipeline.interface import Progress, silent
from pipeline.pocket.aim import aimed_at
from pipeline.pocket.canvas import Canvas
from pipeline.pocket.capabilities import admit, capabilities_of
from pipeline.pocket.cpu_passes import CpuPasses
from pipeline.pocket.decoder import Motion
from pipeline.pocket.decoders import Decoders, view_of
from pipeline.pocket.fade import decode, fade_from
from pipeline.pocket.gpu_passes import GpuPasses
from pipeline.pocket.ladder import ladder
from pipeline.pocket.lanes import begun
from pipeline.pocket.latents import LATENT_SHAPE, LATENTS_PER_SECOND
from pipeline.pocket.looking import Finder
from pipeline.pocket.looks import fade_s, forget, turn, turn_back
from pipeline.pocket.network import PocketNetwork, Scene, Text
from pipeline.pocket.painter.hearing import hear_painted, told_unnamed
from pipeline.pocket.painter.words import painted, read_wish
from pipeline.pocket.showing import Showing
from pipeline.pocket.sight import Eye, Subject, subject_of
from pipeline.pocket.switch import blended, turned
from pipeline.pocket.texts import Texts
from pipeline.pocket.view import NOMINAL, View
from pipeline.pocket.warming import make_once, timed, warn_if_slow
from pipeline.saving import restore_state, save_state, saved_scenery
from pipeline.schedule import noise, sigmas
from pipeline.stages import Stages
from pipeline.state import Boundary, Made, Reading, StreamState
from pipeline.types import Chunk, Conditioning, Heard, Pixels, VideoFormat


class CausalPipeline:
    """Pocket behind the interface of :class:`pipeline.interface.Pipeline`."""

    def __init__(
        self,
        network: PocketNetwork,
        tokenize: Callable[[str], Tensor],
        *,
        steps: int,
        latents_per_chunk: int,
        max_streams: int,
        examples: tuple[str, ...] = (),
        views: tuple[View, ...] = (NOMINAL,),
        frames_per_latent: int = 4,
        finder: Finder | None = None,
        variety: float = 0.0,
        parallax: float = 0.0,
    ) -> None:
        self._network = network.eval().requires_grad_(False)
        self._text: Callable[[str], tuple[Text, Heard]] = Texts(network, tokenize)
        self._device = network.position.device
        self._rungs = ladder(steps, frames_per_latent, has_depth=parallax > 0)
        self._passes = CpuPasses(network) if self._device.type == "cpu" else GpuPasses(network)
        self._is_given_up: Callable[[], bool] | None = None
        self._decoders = Decoders(frames_per_latent, self._device)
        self._showing = Showing(noise, variety, self._device)
        self._open = 0
        with torch.inference_mode():
            self._silence = network.silence(1)
        self._eye = Eye(network, self._silence, finder, parallax)
        fps = Fraction(LATENTS_PER_SECOND * frames_per_latent)
        self.format = VideoFormat(views[0].width, views[0].height, fps, latents_per_chunk, frames_per_latent)
        self.capabilities = capabilities_of(views, self._rungs, max_streams, examples)

    def warm_up(self, progress: Progress = silent) -> tuple[float, ...]:
        """Make a few chunks of every quality, and every size ready; return the median seconds of a chunk and commit."""
        seconds = timed(self, progress)
        for size in self.capabilities.sizes[1:]:
            progress(f"warming up: {size[0]}x{size[1]}")
            self._decoders.of(View(*size))
            if self._is_gpu:  # A GPU compiles and records what it shows of each.
                make_once(self, size)
        self._eye.forget()
        warn_if_slow(self.format, min(seconds))
        return seconds

    @torch.inference_mode()
    def open(self, conditioning: Conditioning) -> StreamState:
        """Read the picture, or paint it, and begin at rest. Raises ConditioningError for i2v without, CapacityError."""
        admit(self.capabilities, self._rungs, conditioning)
        if self._open >= self.capabilities.max_streams:
            raise CapacityError(f"all {self.capabilities.max_streams} streams of this model are taken")
        scenery = painted(read_wish(conditioning.prompt)) if conditioning.mode == "t2v" else None
        view = view_of(conditioning, self.capabilities.sizes)
        canvas, scene, cache = self._see(subject_of(conditioning, scenery), view)
        self._open += 1
        rest = torch.zeros(LATENT_SHAPE, device=self._device)
        begin = Boundary(0, 0, 0, rest, Motion.at_rest(self._device))
        return StreamState(conditioning.seed, canvas, scene, cache, begin, scenery=scenery)

    @torch.inference_mode()
    def swap(self, state: StreamState, conditioning: Conditioning) -> StreamState:
        """Go on under another picture: camera, weather and the newest latents stay, read anew beside the picture."""
        admit(self.capabilities, self._rungs, conditioning)
        canvas, scene, cache = self._see(subject_of(conditioning, None), state.canvas.view)
        self.commit(state)
        here = state.now.latents
        length_s = conditioning.enter_s if conditioning.enter == "blend" else 0.0
        fade = fade_from(state.canvas, state.fade, here, length_s)
        state.canvas, state.scene, state.cache = canvas, scene, cache
        state.seed, state.floor, state.fade, state.scenery, state.looks = conditioning.seed, here, fade, None, []
        cache.latents = state.read_from = here
        self._read_back(state)
        return state

    @torch.inference_mode()
    def generate_chunk(self, state: StreamState, conditioning: Conditioning) -> Chunk:
        """Make the next chunk; the state moves only if this returns."""
        admit(self.capabilities, self._rungs, conditioning)
        if state.fade is not None and state.fade.is_over(state.now.latents - self.capabilities.truncatable_latents):
            state.fade = None  # nothing goes back to it any more, and it holds a picture
        stages = Stages(self._device)
        self.commit(state)
        begin, (words, told) = state.now, self._heard(state, conditioning)
        stages.lap("text")
        try:
            made = self._latents(state, replace(conditioning, prompt=words), stages)
            shown = self._shown(state, made, stages)
        except BaseException:
            turn_back(state, begin.latents)
            state.cache.truncate(begin.latents)
            raise
        seconds = float(self.format.chunk_seconds)
        # Its decoder begins from the picture every time, so there is nothing to bring back; a camera moves the figures.
        watch = follow(begin.watch, conditioning, Seen(shown[-1], seconds), 0.0)
        state.past = deque([*state.past, *made.before], maxlen=self.capabilities.truncatable_latents)
        state.known = deque([*state.known, *made.cleans], maxlen=state.cache.slots)
        state.now = replace(made.here, chunks=begin.chunks + 1, watch=watch)
        state.pending, state.reading = (None, None) if self._is_gpu else (made.cleans[-1], made.reading)
        return Chunk(
            index=begin.chunks,
            first_frame=begin.frames + conditioning.skip,
            first_latent=begin.latents,
            latents=self.format.latents_per_chunk,
            frames=shown,
            fps=self.capabilities.quality[conditioning.quality].fps,
            revision=conditioning.revision,
            quality=conditioning.quality,
            timings_ms=stages.ms,
            drift=watch.drift(),
            heard=told,
        )

    @torch.inference_mode()
    def commit(self, state: StreamState) -> None:
        """Write the clean context of the chunk made last."""
        if state.pending is not None:
            self._go_on()
            self._write(state, state.pending, state.reading)
            state.pending = state.reading = None

    @torch.inference_mode()
    def truncate(self, state: StreamState, latent: int) -> None:
        """Go back to the boundary before ``latent``. Raises TruncationError where there is none to go back to."""
        if latent == state.now.latents:
            return
        kept = [b for b in state.past if b.latents <= latent and latent >= state.floor]
        if not kept or kept[-1].latents != latent:
            raise TruncationError(f"latent {latent} is no boundary of the last {len(state.past)}")
        state.pending = state.reading = None  # it is the newest latent, and goes
        turn_back(state, latent)
        state.cache.truncate(latent)
        for _ in range(state.now.latents - latent):
            state.known.pop()
        state.now = kept.pop()
        state.past = deque(kept, maxlen=self.capabilities.truncatable_latents)
        self._read_back(state)

    @torch.inference_mode()
    def save(self, state: StreamState) -> bytes:
        """Save what came to a stream since it was opened: clean latents, since what they are read as follows."""
        return save_state(state)

    @torch.inference_mode()
    def restore(self, state: StreamState, saved: bytes) -> None:
        """Take a stream just opened to where the saved one was. Raises PipelineError when that was another's."""
        scenery = saved_scenery(saved)
        if scenery is not None and scenery != state.scenery:
            state.canvas, state.scene, state.cache = self._see((scenery, state.seed), state.canvas.view)
            state.scenery = scenery
        restore_state(state, saved)
        self._read_back(state)

    def heed(self, is_given_up: Callable[[], bool]) -> None:
        """Have this asked before each layer of the network, and before each frame, on a CPU; a GPU's chunk is short."""
        self._is_given_up = is_given_up
        if isinstance(self._passes, CpuPasses):
            self._passes.before_layer = self._go_on
            self._decoders.heed(self._go_on)

    @torch.inference_mode()
    def prepare(self, conditioning: Conditioning) -> None:
        """Encode a prompt and see a picture, and remember them."""
        self._text(read_wish(conditioning.prompt).rest if conditioning.mode == "t2v" else conditioning.prompt)
        if conditioning.image is not None:
            self._see(conditioning.image, view_of(conditioning, self.capabilities.sizes))

    def close(self, state: StreamState) -> None:
        """Give the stream's place back; closing twice is closing once."""
        if not state.closed:
            state.closed = True
            self._open -= 1

    def _go_on(self) -> None:
        if self._is_given_up is not None and self._is_given_up():
            raise AbandonedError("a newer command came")

    def _latents(self, state: StreamState, conditioning: Conditioning, stages: Stages) -> Made:
        """Make the latents of a chunk and decode each."""
        rung, decoder = self._rungs[conditioning.quality], self._decoders.of(state.canvas.view)
        here = turned(state.now, conditioning)
        made, state.cache.floor = Made(here), here.rested
        for index in range(self.format.latents_per_chunk):
            if index:
                self._write(state, made.cleans[-1], made.reading)
                stages.lap("context")
            made.before.append(here if index else state.now)
            text = blended(lambda prompt: self._text(prompt)[0], here.travel.said(here.latents + 0.5))
            made.cleans.append(self._sample(state, here, text, sigmas(rung.steps)))
            made.reading = None if self._is_gpu else begun(self._passes.read, made.cleans[-1], state.scene)
            stages.lap("denoise")
            aimed = aimed_at(here, text, state)
            latent = self._showing.of(state, made.cleans, aimed, text.asked)
            seen, wanted = (state.canvas, state.fade), (0 if index else conditioning.skip, rung.frames)
            pixels, motion = decode(decoder, (aimed.motion.deepened(rung.depth), here.latents), latent, seen, wanted)
            stages.lap("decode")
            # A GPU makes the next ones in the same place.
            made.frames.append(pixels if index + 1 == self.format.latents_per_chunk else pixels.clone())
            counts = {"latents": here.latents + 1, "frames": here.frames + rung.frames}
            here = made.here = replace(aimed, **counts, last=made.cleans[-1], motion=motion)
        return made

    def _shown(self, state: StreamState, made: Made, stages: Stages) -> Pixels:
        """A chunk's frames on the host."""
        copy = HostCopy(torch.cat(made.frames) if len(made.frames) > 1 else made.frames[0])
        if self._is_gpu:
            stages.lap("copy", copy.stream)
            # Read while its frames are copied and looked at, when a GPU has nothing else to do.
            self._write(state, made.cleans[-1])
            self._showing.draw_ahead(state.seed, made.here.latents)
        return copy.wait()

    @property
    def _is_gpu(self) -> bool:
        return isinstance(self._passes, GpuPasses)

    def _see(self, subject: Subject, view: View) -> tuple[Canvas, Scene, KVCache]:
        """See a picture or a scene, and begin a cache beside it at rest."""
        canvas, scene, rest = self._eye.see(subject, view)
        window, spare = self._network.config.window, self.capabilities.truncatable_latents
        return canvas, scene, KVCache(scene.sink, rest, window, spare)

    def _heard(self, state: StreamState, conditioning: Conditioning) -> tuple[str, Heard]:
        """Give the words that move the picture; without a picture, paint another scene where a prompt asks for one."""
        if conditioning.mode != "t2v":
            return conditioning.prompt, self._text(conditioning.prompt)[1]
        forget(state, state.now.latents - self.capabilities.truncatable_latents)
        wish = read_wish(conditioning.prompt)
        scenery = painted(wish, state.scenery)
        if scenery != state.scenery:
            turn(state, self._see((scenery, state.seed), state.canvas.view), scenery, fade_s(conditioning))
            self._read_back(state)
        words, told = hear_painted(wish, scenery, lambda text: (text, self._text(text)[1]))
        if state.now.chunks == 0:
            state.unnamed = conditioning.prompt if wish.is_empty and conditioning.prompt.strip() else None
        return words, told_unnamed(told) if conditioning.prompt == state.unnamed else told

    def _sample(self, state: StreamState, here: Boundary, text: Text, levels: tuple[float, ...]) -> Tensor:
        """Few-step sampling of the latent after ``here``, ``float32 [1, C, 1, h, w]``."""
        asked = (state.seed, here.latents), here.last, levels, (state.scene, text, state.cache)
        return self._passes.sample(*asked) if self._is_gpu else begun(self._passes.sample, *asked)()

    def _read_back(self, state: StreamState) -> None:
        """Read again what the cache lacks of its window, from the clean latents; one is read as it was, by itself."""
        end, first = state.cache.latents, state.now.latents - len(state.known)
        wanted = max(first, end - state.cache.window)
        for latent in range(wanted, min(state.read_from, end)):
            state.cache.latents = latent
            self._write(state, state.known[latent - first])
        state.cache.latents, state.read_from = end, min(state.read_from, wanted)

    def _write(self, state: StreamState, clean: Tensor, reading: Reading | None = None) -> None:
        """Keep a clean latent's context, which may have been begun to be read."""
        state.cache.append(reading() if reading else self._passes.read(clean, state.scene))
