"""What pocket makes of itself while it is trained: its own latents, many streams at once, held against the truth's."""

import torch
from torch import Tensor, nn

from pipeline.networks.rope import rotate
from pipeline.networks.transformer import KeyValue
from pipeline.pocket.data import Dataset, Prompts, crops
from pipeline.pocket.intents import dense
from pipeline.pocket.latents import CHANNELS, GRID
from pipeline.pocket.network import PocketNetwork, Scene, Text
from pipeline.pocket.truth import advance, target


def window_of(network: PocketNetwork, scene: Scene, past: list[list[KeyValue]]) -> list[KeyValue]:
    """Rotated keys and values of the sink and of the past, oldest first, for every layer."""
    sink, places = network.rotation(0), network.rotation(*range(1, len(past) + 1))
    window: list[KeyValue] = []
    for layer, (k, v) in enumerate(scene.sink):
        keys = torch.cat([latent[layer][0] for latent in past], 1)
        values = torch.cat([latent[layer][1] for latent in past], 1)
        window.append((torch.cat([rotate(k, sink), rotate(keys, places)], 1), torch.cat([v, values], 1)))
    return window


@torch.no_grad()
def sample(
    network: nn.Module, last: Tensor, scene: Scene, text: Text, window: list[KeyValue], steps: tuple[float, ...]
) -> Tensor:
    """Few-step sampling of the next latent ``[n, 12, 1, h, w]``."""
    noisy = torch.randn_like(last)
    estimate = noisy
    for index, sigma in enumerate(steps):
        level = torch.full((len(last),), sigma, device=last.device)
        estimate = network.denoise(noisy, last, level, scene, text, window).float()  # type: ignore[operator]
        if index + 1 < len(steps):
            noisy = (1 - steps[index + 1]) * estimate + steps[index + 1] * torch.randn_like(last)
    return estimate


@torch.no_grad()
def rollout(
    network: PocketNetwork, data: Dataset, prompts: Prompts, rows: Tensor, latents: int
) -> tuple[Tensor, Tensor]:
    """Field error of own roll-outs on held-out pictures.

    Returns:
        Latents ``[n, 12, h, w]`` at the end, and those of the truth's own roll-out.
    """
    count, device = len(rows), data.pictures.device
    pick = torch.arange(count, device=device) % len(data.held_pictures)
    picture, masks = crops(data.held_pictures, data.held_masks, pick, plain=True)
    goal = target(prompts.intents[rows], masks)
    latent = torch.zeros(count, CHANNELS, 1, *GRID, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        scene, silence = network.encode_picture(picture), network.silence(count)
        text = network.encode_asked(dense(prompts.intents)[rows])
        past = [network.encode_context(latent, scene, silence)] * network.config.window
        for _ in range(latents):
            latent = sample(network, latent, scene, text, window_of(network, scene, past), (1.0, 0.5))
            past = [*past[1:], network.encode_context(latent, scene, silence)]
    truth = torch.zeros(2, count, CHANNELS, *GRID, device=device)
    now, before = truth[0], truth[1]
    for _ in range(latents):
        now, before = advance(now, before, goal), now
    return latent[:, :, 0], now


def report(network: PocketNetwork, data: Dataset, latents: int = 12) -> str:
    """Score own roll-outs by class: share of streams whose fields match the truth's more than rest does."""
    lines: list[str] = []
    for name, prompts in (("train", data.train), ("held", data.held)):
        classes = data.held_class if name == "held" else None
        count = len(prompts.ids) if classes is not None else 600
        rows = torch.arange(count, device=data.pictures.device)
        good: list[Tensor] = []
        for part_rows in rows.split(256):
            made, truth = rollout(network, data, prompts, part_rows, latents)
            wrong = (made - truth)[:, [0, 1, 4, 5, 6, 7, 8, 9, 10, 11]].square().mean((1, 2, 3)).sqrt()
            size = truth[:, [0, 1, 4, 5, 6, 7, 8, 9, 10, 11]].square().mean((1, 2, 3)).sqrt()
            good.append(wrong < 0.04 + 0.35 * size)
        right = torch.cat(good).float()
        lines.append(f"{name}: {right.mean():.3f}")
        if classes is not None:
            scores = {int(c): right[classes == c].mean().item() for c in classes.unique()}
            lines.append(" ".join(f"{c}:{s:.2f}" for c, s in scores.items()))
    return "\n".join(lines)
