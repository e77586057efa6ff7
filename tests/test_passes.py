"""A chunk's passes over tensors that stay where they are, against the network called as it stands."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.networks import split_block
from pipeline.networks.block import Block, TransformerConfig
from pipeline.networks.transformer import CausalTransformer
from pipeline.quantize import store_in_fp8
from pipeline.recorded import compiled
from pipeline.schedule import FlowSchedule
from pipeline.wan.passes import Passes, place_past
from pipeline.wan.random_weights import randomise
from pipeline.wan.sampler import Guide, Sampler
from pipeline.wan.window import Positions, WindowCache, WindowShape

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TransformerConfig(64, 96, 2, 3, 16, 16, 8, freq_dim=32, text_len=6)
SHAPE = WindowShape(7, 2, (2, 3))
LATENTS = 2
CPU = torch.device("cpu")


def network(config: TransformerConfig = CONFIG, device: torch.device = CPU) -> CausalTransformer:
    with torch.device("meta"):
        made = CausalTransformer(config).eval().requires_grad_(False)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    randomise(made, dtype, device)
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        if parameter.ndim == 1:
            # Norms and biases that do something.
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return made


def drawn(*size: int, seed: int = 0, device: torch.device = CPU) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(device)


def guide(of: CausalTransformer, seed: int = 0) -> Guide:
    config, weight = of.config, of.patch_embedding.weight
    text = drawn(1, 4, config.text_dim, seed=seed).to(weight)
    image = None if config.image_dim is None else drawn(1, 5, config.image_dim, seed=seed).to(weight)
    return Guide(of.cross_keys_values(text, image))


def sampler(of: CausalTransformer, passes: Passes | None = None, positions: Positions = "relative") -> Sampler:
    return Sampler(of, FlowSchedule(5.0), (1000.0, 625.0), positions, passes=passes)


def cache_of(network: CausalTransformer, shape: WindowShape = SHAPE) -> WindowCache:
    weight = network.patch_embedding.weight
    return WindowCache(network.config, shape, weight.dtype, weight.device, keep_rotated=True)


def stream(by: Sampler, cache: WindowCache, chunks: int, guides: Sequence[Guide], seed: int = 0) -> list[Tensor]:
    """Roll a stream out and give each chunk's latents."""
    made: list[Tensor] = []
    device, (rows, columns) = cache.device, cache.shape.grid
    for chunk in range(chunks):
        seen = cache.see(LATENTS, by.positions)
        noise, fresh = (
            drawn(1, 16, LATENTS, 2 * rows, 2 * columns, seed=seed + 10 * chunk + at, device=device) for at in (0, 1)
        )
        guide = guides[chunk % len(guides)]
        clean = by.sample(noise, lambda _, fresh=fresh: fresh, guide, seen)
        cache.append(by.read(clean, guide, seen), LATENTS)
        made.append(clean)
    return made


def farthest(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """Largest difference over the rms."""
    a, b = (torch.cat([part.float() for part in parts], 2) for parts in (ours, theirs))
    return ((a - b).abs().max() / b.square().mean().sqrt()).item()


@pytest.mark.parametrize("positions", ["relative", "absolute"])
@pytest.mark.parametrize("image_dim", [None, 10])
@torch.inference_mode()
def test_the_passes_give_what_the_network_gives(positions: Positions, image_dim: int | None) -> None:
    """While the window fills, when it has rolled, under changing prompts, and in what the cache comes to hold."""
    plain = network(replace(CONFIG, image_dim=image_dim))
    guides = [guide(plain, seed) for seed in (1, 2)]
    caches = [cache_of(plain) for _ in range(2)]
    theirs = stream(sampler(plain, None, positions), caches[0], 6, guides)
    passes = Passes(plain, SHAPE, LATENTS)
    ours = stream(sampler(plain, passes, positions), caches[1], 6, guides)
    assert farthest(ours, theirs) < 1e-5
    assert torch.allclose(caches[1].stored, caches[0].stored, atol=1e-4)


@torch.inference_mode()
def test_streams_that_take_turns_do_not_see_each_other() -> None:
    """Two streams by the same passes, chunk by chunk in turn, are what each is alone, bit for bit."""
    plain = network()
    guides = [guide(plain, seed) for seed in (1, 2)]
    alone = [
        stream(sampler(plain, Passes(plain, SHAPE, LATENTS)), cache_of(plain), 4, [guides[n]], seed=100 * n)
        for n in (0, 1)
    ]
    by = sampler(plain, Passes(plain, SHAPE, LATENTS))
    caches, mixed = [cache_of(plain), cache_of(plain)], ([], [])
    for chunk in range(4):
        pending = []
        for n in (0, 1):
            seen = caches[n].see(LATENTS, "relative")
            noise, fresh = (drawn(1, 16, LATENTS, 4, 6, seed=100 * n + 10 * chunk + at) for at in (0, 1))
            clean = by.sample(noise, lambda _, fresh=fresh: fresh, guides[n], seen)
            mixed[n].append(clean)
            pending.append((clean, seen))
        for n, (clean, seen) in enumerate(pending):
            caches[n].append(by.read(clean, guides[n], seen), LATENTS)
    for n in (0, 1):
        assert torch.equal(torch.cat(mixed[n], 2), torch.cat(alone[n], 2))


@torch.inference_mode()
def test_another_size_is_left_to_the_network() -> None:
    """A first latent alone is not of the passes' size; the stream goes on by both together."""
    plain = network()
    passes = Passes(plain, SHAPE, LATENTS)
    assert passes.takes(drawn(1, 16, LATENTS, 4, 6))
    assert not passes.takes(drawn(1, 16, 1, 4, 6))
    assert not passes.takes(drawn(2, 16, LATENTS, 4, 6))
    made = []
    for by in (sampler(plain, passes), sampler(plain)):
        cache, under = cache_of(plain), guide(plain)
        by.begin_with(drawn(1, 16, 1, 4, 6, seed=5), under, cache, [1])
        made.append(stream(by, cache, 4, [under]))
    assert farthest(*made) < 1e-5


@torch.inference_mode()
def test_weights_in_eight_bits_are_multiplied_in_eight_bits() -> None:
    """fp8 linears stay within a few percent of the same weights multiplied in full, and are not the same."""
    plain = network()
    for block in plain.blocks:
        store_in_fp8(block, smallest=1)
    under = guide(plain)
    theirs = stream(sampler(plain), cache_of(plain), 2, [under])
    ours = stream(sampler(plain, Passes(plain, SHAPE, LATENTS)), cache_of(plain), 2, [under])
    error = torch.cat(ours, 2) - torch.cat(theirs, 2)
    relative = (error.square().mean() / torch.cat(theirs, 2).square().mean()).sqrt()
    assert 1e-4 < relative < 0.08


@torch.inference_mode()
def test_no_weight_is_held_twice() -> None:
    """Queries, keys and values become views of one tensor, and the network still gives what it gave."""
    plain = network()
    under, cache = guide(plain), cache_of(plain)
    before = stream(sampler(plain), cache, 1, [under])
    Passes(plain, SHAPE, LATENTS)
    block = plain.blocks[0]
    assert isinstance(block, Block)
    own = block.self_attn
    storages = {layer.weight.untyped_storage().data_ptr() for layer in (own.q, own.k, own.v)}
    assert len(storages) == 1
    assert torch.equal(before[0], stream(sampler(plain), cache_of(plain), 1, [under])[0])


@torch.inference_mode()
def test_every_part_can_be_compiled_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part breaks into several graphs, and all layers share one."""
    traced: dict[Any, int] = {}

    def tracing(function: Any, device: torch.device) -> Any:
        def backend(module: Any, _: Any) -> Any:
            traced[function] = traced.get(function, 0) + 1
            return module.forward

        return torch.compile(function, backend=backend, fullgraph=True, dynamic=False)

    monkeypatch.setattr("pipeline.wan.passes.compiled", tracing)
    monkeypatch.setattr("pipeline.wan.passes.may_compile", lambda device: True)
    plain = network()
    under = guide(plain)
    theirs = stream(sampler(plain), cache_of(plain), 5, [under])
    ours = stream(sampler(plain, Passes(plain, SHAPE, LATENTS)), cache_of(plain), 5, [under])
    assert farthest(ours, theirs) < 1e-5
    assert traced == {
        split_block.enter: 1, split_block.across: 1, split_block.onward: 1, split_block.leave: 1, place_past: 1
    }  # fmt: skip


def test_what_was_not_asked_for_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function for a CPU is left as it is, and for a GPU where the environment says so."""
    monkeypatch.setenv("NO_TORCH_COMPILE", "1")
    for device in ("cpu", "cuda"):
        assert compiled(place_past, torch.device(device)) is place_past


@pytest.mark.gpu
@torch.inference_mode()
def test_a_graph_gives_what_the_network_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded and compiled, in bfloat16: within rounding of the plain network, while the window fills and after."""
    device = torch.device("cuda")
    plain = network(replace(CONFIG, dim=256, ffn_dim=512), device)
    guides = [guide(plain, seed) for seed in (1, 2)]
    theirs = stream(sampler(plain), cache_of(plain), 6, guides)
    for name in (None, "NO_TORCH_COMPILE", "NO_CUDA_GRAPH"):
        if name:
            monkeypatch.setenv(name, "1")
        ours = stream(sampler(plain, Passes(plain, SHAPE, LATENTS)), cache_of(plain), 6, guides)
        assert farthest(ours, theirs) < 0.08
