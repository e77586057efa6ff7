"""Pocket on a device that holds nothing of the host's: what a GPU would refuse is refused here."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.config import ModelConfig
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.gpu_passes import GpuPasses
from pipeline.pocket.language import Intents, Prompt
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.looking import Finder
from pipeline.pocket.salient_network import SalientNetwork
from pipeline.pocket.takes import ModelPlayer, Script, Take
from pipeline.pocket.view import View
from pipeline.types import Chunk, Conditioning, Mode
from tests import pocket_parts
from tests.elsewhere import elsewhere

VIEW, FRAMES = View(208, 120), 2
PROMPT = "night falls behind her, rain, pan left"


def pipeline(device: torch.device) -> CausalPipeline:
    """All that pocket has, with the parts that it has on a GPU."""
    network = copy.deepcopy(pocket_parts.network()).to(device)
    torch.manual_seed(5)
    made = CausalPipeline(
        network,
        pocket_parts.ids,
        steps=2,
        latents_per_chunk=1,
        max_streams=3,
        views=(VIEW,),
        frames_per_latent=FRAMES,
        finder=Finder(LayersNetwork().to(device), SalientNetwork().to(device)),
        variety=1.0,
        parallax=1.0,
    )
    made._passes = GpuPasses(network)
    made._decoders.use(VIEW, GpuDecoder(VIEW, FRAMES, device))
    return made


def asked(mode: Mode, prompt: str = PROMPT, seed: int = 0) -> Conditioning:
    return Conditioning(mode, prompt, pocket_parts.picture(seed) if mode == "i2v" else None, 3)


def frames(chunks: Sequence[Chunk]) -> np.ndarray:
    return np.concatenate([chunk.frames for chunk in chunks]).astype(int)


def from_a_picture(device: torch.device) -> np.ndarray:
    """A stream that goes on, back, to another picture, and is taken up from what was saved of it."""
    model, begun, other = pipeline(device), asked("i2v"), asked("i2v", "the leaves sway, warm light", seed=1)
    state = model.open(begun)
    chunks = [model.generate_chunk(state, begun) for _ in range(2)]
    model.truncate(state, 1)
    state = model.swap(state, other)
    chunks.append(model.generate_chunk(state, other))
    again = model.open(other)
    model.restore(again, model.save(state))
    return frames([*chunks, model.generate_chunk(again, other)])


def from_words(device: torch.device) -> np.ndarray:
    """A painted scene, and another one that it fades into."""
    model, begun = pipeline(device), asked("t2v", "a lake at night, rain")
    state = model.open(begun)
    chunks = [model.generate_chunk(state, begun)]
    return frames([*chunks, model.generate_chunk(state, asked("t2v", "abstract light"))])


def taken(device: torch.device) -> Take:
    """A take that is measured: some of its frames, each with the probe, with half of the noise."""
    with patch("pipeline.pocket.takes.build", lambda config: pipeline(device)):
        player = ModelPlayer(ModelConfig())
    asked = Script(((0, Prompt(PROMPT, Intents("none"))),), 4, frozenset({1, 2, 13}), seed=3, probe=True, noise=0.5)
    player.play(pocket_parts.picture(), replace(asked, latents=1, noise=1.0))
    return player.play(pocket_parts.picture(), asked)


def test_what_is_measured_is_the_same_elsewhere() -> None:
    """Frames that are asked for and no others, each with the probe, the camera's way, how strong each latent is."""
    with elsewhere() as device:
        there = taken(device)
    here = taken(torch.device("cpu"))
    assert sorted(there.frames) == sorted(here.frames) == [1, 2, 13]
    assert len(there.probed) == len(here.probed) == 4
    for one, other in zip([*there.frames.values(), *there.probed], [*here.frames.values(), *here.probed], strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1
    poses = [[astuple(pose) for pose in take.poses] for take in (there, here)]
    np.testing.assert_allclose(poses[0], poses[1], atol=1e-3)
    assert len(there.poses) == 16
    np.testing.assert_allclose(there.strengths, here.strengths, atol=1e-4)
    assert np.array_equal(there.picture, here.picture)


@pytest.mark.parametrize("played", [from_a_picture, from_words])
def test_nothing_is_left_on_the_host(played: Callable[[torch.device], np.ndarray]) -> None:
    """On another device the frames are the CPU's to a grey level, and no tensor meets one of the host's."""
    with elsewhere() as device:
        there = played(device)
    differs = np.abs(there - played(torch.device("cpu")))
    # Products that the CPU makes by one kernel are made there by several.
    assert differs.max() <= 1
    assert differs.mean() < 1e-3


def test_a_tensor_of_the_host_is_refused() -> None:
    """The other device takes numbers of the host's and no tensors, unless they are copied there."""
    with elsewhere() as device:
        x = torch.ones(3, device=device)
        assert (x + torch.tensor(1.0)).tolist() == (x + torch.ones(3).to(device)).cpu().tolist() == [2, 2, 2]
        with pytest.raises(AssertionError, match="two devices"):
            x.add(torch.ones(3))
    assert torch.ones(3).add(1).tolist() == [2, 2, 2]
