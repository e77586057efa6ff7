"""Pocket's passes as a CPU and a GPU run them; their arithmetic is held on the CPU, graphs on a GPU."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from pipeline.cache import KVCache
from pipeline.pocket.cpu_passes import CpuPasses
from pipeline.pocket.gpu_passes import GpuPasses
from pipeline.pocket.latents import LATENT_SHAPE
from pipeline.pocket.network import PICTURE_SIZE, PocketNetwork, Scene
from pipeline.schedule import noise, renoise, sigmas
from tests import pocket_parts

SEED = 5


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """What one function was compiled for is bounded, and every test compiles it for an object of its own."""
    yield
    torch.compiler.reset()


class Plain:
    """The same passes as the network is written."""

    def __init__(self, network: PocketNetwork) -> None:
        self.network = network
        self.places = network.rotation(0), network.rotation(*range(1, network.config.window + 1))

    def sample(self, latent: int, last: Tensor, steps: int, seen: tuple[Scene, str, KVCache]) -> Tensor:
        scene, prompt, cache = seen
        text, window = self.network.encode_text(ids(prompt, last.device)), cache.read(*self.places)
        clean = torch.empty(0)
        for step, level in enumerate(sigmas(steps)):
            fresh = noise(SEED, latent, step, LATENT_SHAPE).to(last.device)
            noisy = renoise(clean, fresh, level) if step else fresh
            clean = self.network.denoise(noisy, last, torch.full((1,), level, device=last.device), scene, text, window)
        return clean

    def read(self, clean: Tensor, scene: Scene) -> Tensor:
        own = self.network.encode_context(clean, scene, self.network.silence(1))
        return torch.stack([torch.stack(pair) for pair in own])


def ids(prompt: str, device: torch.device) -> Tensor:
    return pocket_parts.ids(prompt).to(device)


def opened(network: PocketNetwork, seed: int) -> tuple[Scene, KVCache]:
    device = network.position.device
    scene = network.encode_picture(
        torch.randn(1, 3, *PICTURE_SIZE, generator=torch.Generator().manual_seed(seed)).to(device)
    )
    rest = network.encode_context(torch.zeros(LATENT_SHAPE, device=device), scene, network.silence(1))
    return scene, KVCache(scene.sink, rest, network.config.window, 2)


@torch.inference_mode()
def rolled_out(network: PocketNetwork, by: CpuPasses | GpuPasses | Plain) -> list[Tensor]:
    """Two streams by turns for longer than the window, under prompts that change, at one step and at two."""
    device = network.position.device
    texts = {prompt: network.encode_text(ids(prompt, device)) for prompt in ("pan left", "snow")}
    streams = [opened(network, seed) for seed in (1, 2)]
    made, lasts = list[Tensor](), [torch.zeros(LATENT_SHAPE, device=device)] * 2
    for latent in range(network.config.window + 2):
        prompt, steps = ("pan left", 2) if latent % 3 else ("snow", 1)
        for number, (scene, cache) in enumerate(streams):
            if isinstance(by, Plain):
                clean = by.sample(latent, lasts[number], steps, (scene, prompt, cache))
            else:
                clean = by.sample((SEED, latent), lasts[number], sigmas(steps), (scene, texts[prompt], cache))
            cache.append(by.read(clean, scene))
            lasts[number] = clean
            made.append(clean)
    return made


def farthest(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest relative error of any latent."""
    errors = [(a.cpu() - b.cpu()).norm() / b.cpu().norm() for a, b in zip(ours, theirs, strict=True)]
    return float(torch.stack(errors).max())


@pytest.mark.parametrize("passes", [CpuPasses, GpuPasses])
def test_they_are_the_networks_own_passes(passes: type[CpuPasses] | type[GpuPasses]) -> None:
    """Over stacked tensors that stay in place, the latents are those of the plain way; other streams leave no trace."""
    network = pocket_parts.network()
    made = rolled_out(network, passes(network))
    assert farthest(made, rolled_out(network, Plain(network))) < 1e-5
    assert farthest(made[2:3], made[3:4]) > 1e-2


def test_noise_made_ahead_is_only_used_where_it_belongs() -> None:
    """Going back, or another stream's turn, takes that latent's own noise."""
    passes = GpuPasses(pocket_parts.network())
    for latent in (3, 4, 2):
        fresh = passes._noise((SEED, latent, 2))
        assert all(torch.equal(fresh[step], noise(SEED, latent, step, LATENT_SHAPE)) for step in (0, 1))


@torch.inference_mode()
def test_a_cpu_takes_noise_from_where_it_is_told() -> None:
    """Without any, all seeds sample the same latent, and with it another each."""
    passes, network = CpuPasses(pocket_parts.network()), pocket_parts.network()
    scene, cache = opened(network, 1)
    seen = scene, network.encode_text(ids("snow", network.position.device)), cache

    def sampled() -> tuple[Tensor, Tensor]:
        one, other = (passes.sample((seed, 0), torch.zeros(LATENT_SHAPE), (1.0,), seen) for seed in (1, 2))
        return one, other

    assert not torch.equal(*sampled())
    passes.draw_from(lambda seed, latent, step, shape: torch.zeros(shape))
    assert torch.equal(*sampled())


@pytest.fixture
def on_gpu() -> PocketNetwork:
    return copy.deepcopy(pocket_parts.network()).cuda()


@pytest.mark.gpu
def test_a_gpu_samples_the_cpus_latents(on_gpu: PocketNetwork) -> None:
    """Compiled and recorded, in float32, the latents of a GPU are the CPU's but for rounding."""
    plain = rolled_out(pocket_parts.network(), Plain(pocket_parts.network()))
    assert farthest(rolled_out(on_gpu, GpuPasses(on_gpu)), plain) < 1e-2


@pytest.mark.gpu
@pytest.mark.parametrize("switches", [("NO_CUDA_GRAPH",), ("NO_TORCH_COMPILE",), ("NO_CUDA_GRAPH", "NO_TORCH_COMPILE")])
def test_graphs_are_the_same_step_by_step(
    on_gpu: PocketNetwork, switches: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is switched off, the latents are the same but for rounding."""
    made = rolled_out(on_gpu, GpuPasses(on_gpu))
    for name in switches:
        monkeypatch.setenv(name, "1")
    assert farthest(rolled_out(on_gpu, GpuPasses(on_gpu)), made) < 1e-2


def test_noise_comes_from_where_it_is_told_to() -> None:
    """Another source is asked at once, also for what was made ahead."""
    passes = GpuPasses(pocket_parts.network())
    assert passes._noise((SEED, 3, 2)).any()
    passes.draw_from(lambda seed, latent, step, shape: torch.zeros(shape))
    assert not passes._noise((SEED, 3, 2)).any()
