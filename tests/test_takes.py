"""Takes of a model that are measured: without noise, with other counts of steps, without a tower."""

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.config import ModelConfig
from pipeline.pocket.labels import label
from pipeline.pocket.language import Intents, Prompt
from pipeline.pocket.layers import SUBJECT
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.looking import Finder
from pipeline.pocket.takes import ModelPlayer, Script
from pipeline.pocket.towers import Towers
from tests import pocket_parts
from tests.pocket_parts import conditioning
from tests.pocket_parts import made_once as made_once

ASKED = Script(((0, Prompt("sway", Intents("none"))),), 3, frozenset({9}))


@pytest.fixture
def player(made_once: None) -> Iterator[ModelPlayer]:
    with patch("pipeline.pocket.takes.build", lambda config: pocket_parts.pipeline(variety=1.0, steps=1)):
        yield ModelPlayer(ModelConfig())


def shown(player: ModelPlayer, asked: Script, picture: int = 0) -> np.ndarray:
    """How strong each latent of a take is."""
    return np.array(player.play(pocket_parts.picture(picture), asked).strengths)


def test_without_noise_nothing_is_left_to_chance(player: ModelPlayer) -> None:
    """Neither the sampler's noise nor that of a motion of its own is there; with it, two seeds differ."""
    silent, other = (replace(ASKED, noise=0.0, seed=seed) for seed in (1, 2))
    with_noise = shown(player, ASKED)
    assert np.array_equal(shown(player, silent), shown(player, other))
    assert not np.allclose(with_noise, shown(player, replace(ASKED, seed=2)), atol=1e-3)
    assert np.array_equal(shown(player, ASKED), with_noise)


def test_chance_alone_is_turned_down_as_well(player: ModelPlayer) -> None:
    """The fields that make a motion of its own are all zero without noise."""
    shown(player, replace(ASKED, noise=0.0))
    chances = player._pipeline._showing._draws.of(5, 7)
    assert not chances.fields.any()


def test_steps_are_as_many_as_are_asked_for(player: ModelPlayer) -> None:
    """One ships; two make another take."""
    assert np.array_equal(shown(player, replace(ASKED, steps=1)), shown(player, ASKED))
    assert not np.allclose(shown(player, replace(ASKED, steps=2)), shown(player, ASKED), atol=1e-4)


def test_without_the_text_tower_words_say_nothing(player: ModelPlayer) -> None:
    """Another prompt makes the same take; with the tower back it does not."""
    other = replace(ASKED, prompts=((0, Prompt("pan left", Intents("pan_left"))),))
    deaf = [shown(player, replace(one, without="text")) for one in (ASKED, other)]
    assert np.array_equal(deaf[0], deaf[1])
    assert not np.allclose(shown(player, ASKED), shown(player, other), atol=1e-3)


def test_without_the_picture_tower_pictures_are_alike(player: ModelPlayer) -> None:
    """The transformer's latents are the same for another picture; with the tower back they are not."""
    blind = replace(ASKED, without="picture")
    assert np.array_equal(shown(player, blind), shown(player, blind, picture=1))
    assert not np.allclose(shown(player, ASKED), shown(player, ASKED, picture=1), atol=1e-4)


def test_without_the_layers_nothing_is_found() -> None:
    """A picture has no layers then, and has them again."""
    towers = Towers(made := seeing())
    found = []
    for tower in ("layers", ""):
        towers.all_but(tower)
        found.append(made.open(conditioning()).canvas.layers is None)
    assert found == [True, False]
    with pytest.raises(AssertionError):
        towers.all_but("ivory")


def test_without_sight_pictures_are_alike_and_have_no_layers() -> None:
    """The transformer attends to the same whatever the picture is, and nothing is found; no part alone does both."""
    towers = Towers(made := seeing())
    pictures = [pocket_parts.picture(seed) for seed in (0, 1)]
    for tower, is_alike, is_bare in (("sight", True, True), ("picture", True, False), ("layers", False, True)):
        towers.all_but(tower)
        seen = [made._eye.see(picture, pocket_parts.VIEW) for picture in pictures]
        assert [sight.canvas.layers is None for sight in seen] == [is_bare, is_bare]
        assert torch.equal(*(sight.scene.add for sight in seen)) == is_alike


def test_labels_can_be_the_layers() -> None:
    """Where the butterfly is by the labels is the subject, whatever the network says, until a tower is named again."""
    towers = Towers(made := seeing())
    towers.tell("028")
    layers = made._eye.see(pocket_parts.picture(), pocket_parts.VIEW).canvas.layers
    assert layers is not None
    found = layers.coarse[SUBJECT].numpy()
    wanted = cv2.resize(label("028").layer("subject"), found.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9
    towers.all_but("")
    assert made._eye.see(pocket_parts.picture(), pocket_parts.VIEW).canvas.layers is not layers


def seeing() -> CausalPipeline:
    """A pipeline with a network of layers."""
    torch.manual_seed(1)
    made = pocket_parts.pipeline()
    made._eye._finder = Finder(LayersNetwork()).at_rest()
    return made


def test_a_pipeline_is_played_at_its_own_size(player: ModelPlayer) -> None:
    """Frames are those of the pipeline, whatever its size."""
    take = player.play(pocket_parts.picture(), ASKED)
    assert isinstance(player._pipeline, CausalPipeline)
    assert take.frames[9].shape == take.picture.shape == (pocket_parts.VIEW.height, pocket_parts.VIEW.width, 3)
