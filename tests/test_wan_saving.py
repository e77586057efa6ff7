from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

import tests.wan_parts
from pipeline.errors import PipelineError
from pipeline.interface import Resumable
from pipeline.types import Chunk, Mode
from pipeline.wan.pipeline import WanPipeline
from pipeline.wan.state import WanState
from stream.engine_host import PipelineHost
from tests.wan_parts import CONFIG, HEIGHT, PLAN, WIDTH, asked, parts, pipeline

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ("the leaves sway", "snow falls", "wind")


def go_on(model: WanPipeline, state: WanState, count: int, mode: Mode, commit: bool = True) -> list[Chunk]:
    """Make chunks, every seven of them under another prompt."""
    chunks = []
    for _ in range(count):
        model.commit(state)
        chunks.append(model.generate_chunk(state, asked(mode, PROMPTS[state.now.chunks // 7 % 3])))
    if commit:
        model.commit(state)
    return chunks


def restored(model: WanPipeline, state: WanState, mode: Mode, prompt: str = "another") -> WanState:
    """A stream opened under another prompt, as one is that goes on later, and taken to where this one is."""
    other = model.open(asked(mode, prompt))
    model.restore(other, model.save(state))
    return other


def assert_alike(ours: list[Chunk], theirs: list[Chunk]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.frames, other.frames)
        numbers = [(c.index, c.first_frame, c.first_latent, c.latents, c.cuts, c.drift) for c in (one, other)]
        assert numbers[0] == numbers[1]


@pytest.mark.parametrize(("chunks", "committed"), [(0, True), (2, False), (13, True)])
@pytest.mark.parametrize(("mode", "entry"), [("t2v", "first_latent"), ("i2v", "first_latent"), ("i2v", "clip")])
def test_a_restored_stream_is_the_saved_one(mode: Mode, entry: str, chunks: int, committed: bool) -> None:
    """Resumed is uninterrupted, byte for byte, in every way that a picture enters, however far its window has rolled:
    two layers see no further back than what is known. Brought back from a drift too, and after going back."""
    model = pipeline(replace(PLAN, image_entry=entry, reanchor=0.001))
    assert isinstance(model, Resumable)
    state = model.open(asked(mode))
    go_on(model, state, chunks, mode, committed)
    other = restored(model, state, mode)
    assert_alike(go_on(model, state, 2, mode), go_on(model, other, 2, mode))
    again = restored(model, state, mode)
    back = state.past[-1].begin.made
    for one in (state, again):
        model.truncate(one, back)
    assert_alike(go_on(model, state, 1, mode), go_on(model, again, 1, mode))


def test_a_decoder_that_remembers_longer_than_the_window_is_restored_too() -> None:
    """The Wan VAE looks back further than a window; what is known is as much as it needs."""
    model = pipeline(decoder="wan")
    state = model.open(asked())
    go_on(model, state, 6, "i2v")
    other = restored(model, state, "i2v")
    assert_alike(go_on(model, state, 1, "i2v"), go_on(model, other, 1, "i2v"))


def test_a_stream_that_was_cut_is_restored_cut(one_thread: None) -> None:
    """Latents that stand of a chunk have seen those that were taken away, and so they do when they are read again."""
    model = pipeline()
    state = model.open(asked("t2v"))
    go_on(model, state, 5, "t2v")
    model.truncate(state, state.now.made - 1)
    other = restored(model, state, "t2v")
    assert_alike(go_on(model, state, 3, "t2v"), go_on(model, other, 3, "t2v"))
    assert torch.equal(state.cache.stored, other.cache.stored)


def test_a_chunk_made_after_a_cut_can_be_taken_back(one_thread: None) -> None:
    """Back to the cut goes a restored stream as well."""
    model = pipeline()
    state = model.open(asked("t2v"))
    go_on(model, state, 5, "t2v")
    cut = state.now.made - 1
    model.truncate(state, cut)
    go_on(model, state, 1, "t2v")
    other = restored(model, state, "t2v")
    for one in (state, other):
        model.truncate(one, cut)
    assert_alike(go_on(model, state, 1, "t2v"), go_on(model, other, 1, "t2v"))


@pytest.mark.parametrize("mode", ["t2v", "i2v"])
def test_what_is_known_makes_a_deep_network_go_on_nearly_alike(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """In twelve layers what was known no longer is felt: with what is kept before the window the difference is a
    hundredth of that without, and the next latents differ by less than 1e-5 of their norm."""
    monkeypatch.setattr(tests.wan_parts, "CONFIG", replace(CONFIG, num_layers=12))
    parts.cache_clear()
    model = pipeline()
    state = model.open(asked(mode))
    for _ in range(12):
        model.generate_chunk(state, asked(mode))
        model.commit(state)
    other = restored(model, state, mode)
    shallow = model.open(asked(mode))
    known = state.known
    state.known = [
        one for one in known if one.first < PLAN.sink or one.end > state.now.cached - PLAN.window + PLAN.sink
    ]
    model.restore(shallow, model.save(state))
    state.known = known
    far, near = (_apart(one.cache.stored, state.cache.stored) for one in (shallow, other))
    assert 0 < near < far / 30
    for one in (state, other):
        model.generate_chunk(one, asked(mode))
    assert state.pending is not None
    assert other.pending is not None
    assert _apart(other.pending.clean, state.pending.clean) < 1e-5
    parts.cache_clear()


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("decoder", ["tiny", "wan"])
def test_a_decoder_remembers_no_more_than_it_says(decoder: str) -> None:
    """From so many of the newest latents its memory is the same to the bit, and from one fewer it is not."""
    network = parts(decoder=decoder).decoder
    latents = torch.randn(1, 16, network.memory_latents + 6, 2, 2, generator=torch.Generator().manual_seed(0))

    def memory(count: int) -> list[torch.Tensor]:
        seen = None
        for latent in latents[:, :, -count:].split(1, 2):
            seen = network.decode_frames(latent, seen)[1]
        assert seen is not None
        return [slot for slot in seen.slots if slot is not None]

    with torch.inference_mode():
        whole, enough, short = map(memory, (latents.shape[2], network.memory_latents, network.memory_latents - 1))
    assert all(torch.equal(one, other) for one, other in zip(whole, enough, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(whole, short, strict=True))


def test_what_is_saved_stays_small() -> None:
    """A stream knows its sink and so many latents, and no more as it goes on."""
    model = pipeline()
    state = model.open(asked("t2v"))
    sizes = []
    for count in (16, 2):
        go_on(model, state, count, "t2v")
        sizes.append(len(model.save(state)))
    assert abs(sizes[0] - sizes[1]) < 1000
    latent = 4 * 16 * (HEIGHT // 8) * (WIDTH // 8)
    assert sizes[1] < 24 * latent


def test_another_streams_bytes_are_refused() -> None:
    """What was saved under another seed, of another size, or is none at all is refused."""
    model = pipeline()
    state = model.open(asked("t2v"))
    go_on(model, state, 1, "t2v")
    saved = model.save(state)
    with pytest.raises(PipelineError, match="this seed"):
        model.restore(model.open(asked("t2v", seed=4)), saved)
    large = pipeline(replace(PLAN, width=2 * WIDTH))
    with pytest.raises(PipelineError, match="latents of"):
        large.restore(large.open(asked("t2v")), saved)
    with pytest.raises(PipelineError, match="not one of this model"):
        model.restore(state, save({"x": torch.zeros(1)}))


def test_a_stream_goes_on_behind_an_engine() -> None:
    """What bookmarks, forks and checkpoints call: a host opens a take from what another saved."""
    hosts = [PipelineHost(lambda progress: pipeline(), lambda stage: None) for _ in range(2)]
    wanted = asked("i2v")
    hosts[0].open("one", wanted)
    for _ in range(4):
        hosts[0].generate("one", wanted)
        hosts[0].commit("one")
    hosts[1].open("two", replace(wanted, prompt="later"), hosts[0].save("one"))
    made = [host.generate(name, wanted) for host, name in zip(hosts, ("one", "two"), strict=True)]
    assert_alike(made[:1], made[1:])
    assert hosts[0].warm_up(lambda stage: None).is_resumable
