"""Train pocket: one pool of live streams, first led by the truth, then by the model itself.

``python -m pipeline.pocket.train PACK.npz OUT.safetensors --seconds 540 [--resume FILE]`` on a CUDA GPU.
Every step all streams of the pool ask for their next latent. The right answer is computed from wherever the
stream is (:func:`pipeline.pocket.truth.advance`), the loss is taken, and the streams move on: some by the
truth, a growing share by the model's own two-step sample, so that it learns to correct itself.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.checkpoint import read_state
from pipeline.networks.transformer import KeyValue
from pipeline.pocket.data import Dataset, Prompts, crops, load
from pipeline.pocket.intents import dense
from pipeline.pocket.latents import CAMERA, CHANNELS, DISPLACEMENT, FLOW, GRID
from pipeline.pocket.network import PocketConfig, PocketNetwork, Scene, Text
from pipeline.pocket.rollout import report, sample, window_of
from pipeline.pocket.truth import Target, advance, target

CHANNEL_WEIGHTS = ((CAMERA, 1.0), (DISPLACEMENT, 8.0), (FLOW, 2.0))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Numbers of a run; probabilities are per latent (0.25 s)."""

    streams: int = 384
    learning_rate: float = 1e-3
    warm_up_steps: int = 150
    ema: float = 0.998
    switch: float = 0.08
    restart: float = 0.025
    self_rollout_from: float = 0.15
    self_rollout_share: float = 0.6
    context_noise: float = 0.12
    seed: int = 20261123


@dataclass(slots=True)
class Pool:
    """Live streams: what each sees, is asked for, and has made (``history [n, 2, 12, h, w]``, newest last).

    ``seen`` are the contexts of older latents, oldest first, for every layer: computed once, when they were the
    newest, as at run time. They are a few steps older than the weights, which a step's size forgives.
    """

    picture: Tensor
    masks: Tensor
    prompt: Tensor
    goal: Target
    history: Tensor
    seen: list[list[KeyValue]]


def fresh(data: Dataset, prompts: Prompts, count: int) -> Pool:
    """Streams at rest, each with a picture and a prompt."""
    device = data.pictures.device
    rows = torch.randint(len(data.pictures), (count,), device=device)
    picture, masks = crops(data.pictures, data.masks, rows)
    prompt = torch.randint(len(prompts.ids), (count,), device=device)
    goal = target(prompts.intents[prompt], masks)
    return Pool(picture, masks, prompt, goal, torch.zeros(count, 2, CHANNELS, *GRID, device=device), [])


def renew(pool: Pool, data: Dataset, recipe: Recipe) -> Tensor:
    """Give some streams another prompt, and begin some anew; returns the rows that began."""
    count, device = len(pool.prompt), pool.prompt.device
    began = torch.randperm(count, device=device)[: max(1, round(count * recipe.restart))]
    new = fresh(data, data.train, len(began))
    pool.picture[began], pool.masks[began], pool.history[began] = new.picture, new.masks, new.history
    pool.prompt[began], pool.goal = new.prompt, pool.goal.put(began, new.goal)
    rows = torch.randperm(count, device=device)[: round(count * recipe.switch)]
    pool.prompt[rows] = torch.randint(len(data.train.ids), (len(rows),), device=device)
    pool.goal = pool.goal.put(rows, target(data.train.intents[pool.prompt[rows]], pool.masks[rows]))
    return began


@torch.no_grad()
def rest(network: PocketNetwork, scene: Scene, rows: Tensor) -> list[KeyValue]:
    """Contexts of the latent at rest for some streams."""
    some = Scene(scene.add[rows], [(k[rows], v[rows]) for k, v in scene.sink], scene.masks)
    nothing = torch.zeros(len(rows), CHANNELS, 1, *GRID, device=rows.device)
    return network.encode_context(nothing, some, network.silence(len(rows)))


def corrupt(latent: Tensor, recipe: Recipe) -> Tensor:
    """A latent ``[n, 12, h, w]`` as a careless model would leave it: white and smooth noise of a random level."""
    level = recipe.context_noise * torch.rand(len(latent), 1, 1, 1, device=latent.device)
    level = level * (torch.rand_like(level) < 0.7)
    coarse = torch.randn(len(latent), CHANNELS, 4, 7, device=latent.device)
    return latent + level * 0.7 * (torch.randn_like(latent) + F.interpolate(coarse, GRID, mode="bilinear"))


def channel_weights(device: torch.device) -> Tensor:
    """Loss weight of every channel, ``[12, 1, 1, 1]``."""
    weights = torch.full((CHANNELS, 1, 1, 1), 1.5, device=device)
    for channels, weight in CHANNEL_WEIGHTS:
        weights[channels] = weight
    return weights


def loss_of(estimate: Tensor, truth: Tensor, last: Tensor, weights: Tensor) -> Tensor:
    """Squared error, heavier where something changes (against the lure of standing still)."""
    moving = (truth - last).abs()
    emphasis = 1 + 2 * moving / (moving.mean((2, 3, 4), keepdim=True) + 0.05)
    return (weights * emphasis * (estimate - truth).square()).mean()


def sigmas(count: int, device: torch.device) -> Tensor:
    """Noise levels: the two that sampling uses most often, the rest spread."""
    kind = torch.rand(count, device=device)
    spread = 0.02 + 0.98 * torch.rand(count, device=device)
    return torch.where(kind < 0.4, 1.0, torch.where(kind < 0.7, 0.5, spread))


def part(scene: Scene, text: Text, window: list[KeyValue], n: int) -> tuple[Scene, Text, list[KeyValue]]:
    """The first ``n`` streams, without gradient."""

    def cut(pairs: list[KeyValue]) -> list[KeyValue]:
        return [(k[:n].detach(), v[:n].detach()) for k, v in pairs]

    return (
        Scene(scene.add[:n].detach(), cut(scene.sink), scene.masks[:n]),
        Text([tuple(cut([*pairs])) for pairs in text.cross], text.pooled[:n].detach()),
        cut(window),
    )


class Trainer:
    """One run: network, its running mean, the pool, the optimiser."""

    def __init__(self, data: Dataset, recipe: Recipe, resume: Path | None) -> None:
        torch.manual_seed(recipe.seed + (resume is not None))
        self.device, self.data, self.recipe = data.pictures.device, data, recipe
        self.network = PocketNetwork(PocketConfig()).to(self.device)
        nn.init.normal_(self.network.transformer.head.head.weight, std=0.01)
        nn.init.zeros_(self.network.transformer.head.head.bias)
        if resume is not None:
            self.network.load_state_dict(read_state(resume))
        self.mean = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.asked = dense(data.train.intents)
        self.pool = fresh(data, data.train, recipe.streams)
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)
        self.weights = channel_weights(self.device)
        self.step_number = 0

    def step(self, progress: float) -> dict[str, Tensor]:
        """Make one step at this share of the run; returns losses as tensors (no host sync)."""
        recipe, pool, network = self.recipe, self.pool, self.network
        # Streams led by the model come first in the pool; all or none, since each size is compiled anew.
        led = int(recipe.streams * recipe.self_rollout_share) if progress >= recipe.self_rollout_from else 0
        began = renew(pool, self.data, recipe)
        now, before = pool.history[:, -1], pool.history[:, -2]
        truth = advance(now, before, pool.goal)[:, :, None]
        last = torch.cat([now[:led], corrupt(now[led:], recipe)])[:, :, None]
        sigma = sigmas(recipe.streams, self.device)
        level = sigma[:, None, None, None, None]
        noisy = (1 - level) * truth + level * torch.randn_like(truth)
        with torch.autocast(self.device.type, torch.bfloat16):
            scene = network.encode_picture(pool.picture)
            self._forget(scene, began)
            newest = network.encode_context(last, scene, network.silence(recipe.streams))
            window = window_of(network, scene, [*pool.seen, newest])
            text = network.encode_asked(self.asked[pool.prompt])
            estimate = network.denoise(noisy, last, sigma, scene, text, window).float()
            mask_loss = F.binary_cross_entropy_with_logits(scene.masks.float(), pool.masks)
            loss = loss_of(estimate, truth, last, self.weights)
        self._descend(loss + 0.1 * mask_loss, progress)
        nxt = truth
        if led:
            with torch.autocast(self.device.type, torch.bfloat16):
                own = sample(network, last[:led], *part(scene, text, window, led), (1.0, 0.5))
            nxt = torch.cat([own, truth[led:]])
        pool.history = torch.stack([now, nxt[:, :, 0]], dim=1)
        pool.seen = [*pool.seen[1:], [(k.detach(), v.detach()) for k, v in newest]]
        return {"loss": loss.detach(), "mask": mask_loss.detach()}

    def _forget(self, scene: Scene, began: Tensor) -> None:
        """Fill the past of streams that began with rest; at first, that of all."""
        pool, older = self.pool, self.network.config.window - 1
        rows = began if pool.seen else torch.arange(len(pool.prompt), device=self.device)
        nothing = rest(self.network, scene, rows)
        if not pool.seen:
            pool.seen = [[(k.clone(), v.clone()) for k, v in nothing] for _ in range(older)]
            return
        for latent in pool.seen:
            for (k, v), (rest_k, rest_v) in zip(latent, nothing, strict=True):
                k[rows], v[rows] = rest_k, rest_v

    def _descend(self, loss: Tensor, progress: float) -> None:
        warm = min(1.0, (self.step_number + 1) / self.recipe.warm_up_steps)
        rate = self.recipe.learning_rate * warm * (0.03 + 0.97 * (1 - progress)) ** 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step_number += 1
        keep = min(self.recipe.ema, 1 - 1 / (self.step_number + 1))
        state = self.network.state_dict()
        for key, value in state.items():
            if value.is_floating_point():
                self.mean[key].lerp_(value, 1 - keep)

    def save(self, path: Path, parts: int = 1) -> None:
        """Write the running mean in float16 (the word table in int8), whole or in several files."""
        half = {k: v if v.dtype == torch.int8 else v.half() for k, v in self.mean.items()}
        whole = {k: v.contiguous().cpu() for k, v in half.items()}
        names = sorted(whole)
        for number in range(parts):
            name = path if parts == 1 else path.with_suffix(f".{number}{path.suffix}")
            save_file({k: whole[k] for k in names[number::parts]}, name)

    def averaged(self) -> PocketNetwork:
        """A network with the running mean's weights, for evaluation."""
        network = PocketNetwork(PocketConfig()).to(self.device).eval()
        network.load_state_dict(self.mean)
        return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--learning-rate", type=float, default=Recipe().learning_rate)
    parser.add_argument("--streams", type=int, default=Recipe().streams)
    parser.add_argument("--rollout-from", type=float, default=Recipe().self_rollout_from)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", type=int, default=1, help="write the weights as so many files")
    parser.add_argument("--compile", action="store_true", help="compile the blocks: worth its minute on a long run")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    recipe = Recipe(streams=args.streams, learning_rate=args.learning_rate, self_rollout_from=args.rollout_from)
    data = load(args.pack, torch.device(args.device))
    trainer = Trainer(data, recipe, args.resume)
    if args.compile:
        for block in trainer.network.transformer.blocks:
            block.compile()
    begun = shown = saved = time.monotonic()
    while (now := time.monotonic()) - begun < args.seconds:
        losses = trainer.step((now - begun) / args.seconds)
        if now - shown > 15 or trainer.step_number in (1, 10, 50):
            shown = now
            text = " ".join(f"{k} {v.item():.4f}" for k, v in losses.items())
            print(f"{now - begun:6.1f} s step {trainer.step_number} {text}", flush=True)
        if now - saved > 100:
            saved = now
            trainer.save(args.out, args.parts)
    trainer.save(args.out, args.parts)
    print(f"{trainer.step_number} steps")
    print(report(trainer.averaged(), data))


if __name__ == "__main__":
    main()
