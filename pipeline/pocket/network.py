"""Pocket's network: the Wan transformer, wrapped with what a small image-to-video model needs.

Around the shared block stand a picture encoder (its tokens are the attention sink and are added to every
frame's tokens), a learned place for each token, the text encoder, and a gate that carries the last latent
over, since most of what comes next is what is there.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pipeline.networks.rope import rotate, rotations
from pipeline.networks.text_words import TextConfig, TextEncoder
from pipeline.networks.transformer import CausalTransformer, CrossKeyValues, KeyValue, TransformerConfig
from pipeline.pocket.intents import COLUMNS, LOGITS, ROWS, Asked, read
from pipeline.pocket.latents import CHANNELS, GRID, screen_grid

PICTURE_SIZE = (128, 224)
MASKS = ("sky", "water", "foliage", "subject")


@dataclass(frozen=True, slots=True)
class PocketConfig:
    """Sizes of pocket; ``window`` is how many latent frames of the past are attended to."""

    dim: int = 256
    ffn_dim: int = 768
    num_heads: int = 4
    num_layers: int = 8
    window: int = 4
    patch: int = 4
    text: TextConfig = field(default_factory=lambda: TextConfig(outputs=LOGITS))

    @property
    def tokens(self) -> int:
        """Tokens of one latent frame."""
        return (GRID[0] // self.patch) * (GRID[1] // self.patch)

    def transformer(self) -> TransformerConfig:
        """Sizes of the shared transformer; input is noisy latent, last latent and two coordinates."""
        return TransformerConfig(
            dim=self.dim,
            ffn_dim=self.ffn_dim,
            num_heads=self.num_heads,
            num_layers=self.num_layers,
            in_channels=2 * CHANNELS + 2,
            out_channels=CHANNELS,
            text_dim=COLUMNS,
            patch=(1, self.patch, self.patch),
        )


class Residual(nn.Module):
    """Two convolutions around a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class PictureEncoder(nn.Module):
    """A picture ``[B, 3, 128, 224]`` in -1..1 to one token a patch, ``[B, 112, dim]``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = (32, 64, 128)
        layers: list[nn.Module] = []
        previous = 5
        for width in widths:
            layers += [nn.Conv2d(previous, width, 3, stride=2, padding=1), Residual(width)]
            previous = width
        layers += [nn.Conv2d(previous, dim, 3, stride=2, padding=1), nn.GroupNorm(8, dim)]
        self.body = nn.Sequential(*layers)

    def forward(self, picture: Tensor) -> Tensor:
        rows, columns = picture.shape[-2:]
        y = torch.linspace(-1, 1, rows, device=picture.device, dtype=picture.dtype)
        x = torch.linspace(-1, 1, columns, device=picture.device, dtype=picture.dtype)
        place = torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)])
        full = torch.cat([picture, place.expand(len(picture), -1, -1, -1)], dim=1)
        return self.body(full).flatten(2).transpose(1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture as the network sees it: tokens to add, and the sink's keys (un-rotated) and values."""

    add: Tensor
    sink: list[KeyValue]
    masks: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A prompt as the network sees it: every layer's cross keys and values, and a vector for modulation.

    ``asked`` is what was read from its words, None where there were none; ``is_behind``, that it is meant for all but
    the subject.
    """

    cross: list[CrossKeyValues]
    pooled: Tensor
    asked: Asked | None = None
    is_behind: bool = False


class PocketNetwork(nn.Module):
    """Pocket's weights and its three passes: picture, context, denoise."""

    coordinates: Tensor

    def __init__(self, config: PocketConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = CausalTransformer(config.transformer())
        self.picture = PictureEncoder(config.dim)
        self.add = nn.Linear(config.dim, config.dim)
        self.text = TextEncoder(config.text)
        self.pooled = nn.Linear(ROWS * COLUMNS, config.dim)
        self.position = nn.Parameter(torch.randn(config.tokens, config.dim) * 0.02)
        self.gate = nn.Parameter(torch.full((CHANNELS, 1, 1, 1), 0.7))
        self.mask_head = nn.Linear(config.dim, len(MASKS) * config.patch**2)
        self.register_buffer("coordinates", torch.stack(screen_grid())[:, None], persistent=False)

    def rotation(self, *frames: int) -> Tensor:
        """Rotations of whole latent frames at these places of the window: sink 0, past 1..W, present W+1."""
        rows, columns = GRID[0] // self.config.patch, GRID[1] // self.config.patch
        places = torch.tensor(frames, device=self.position.device)
        return rotations(places, rows, columns, self.config.transformer().head_dim)

    def read_text(self, ids: Tensor) -> tuple[Asked, Tensor]:
        """Read ``int64 [B, S]`` token ids: what they ask for, and how likely each role of each token is, as logits."""
        logits, roles = self.text(ids)
        return read(logits), roles

    def encode_text(self, ids: Tensor) -> Text:
        """Read ``int64 [B, S]`` token ids and encode what they ask for."""
        return self.encode_asked(self.read_text(ids)[0])

    def encode_asked(self, asked: Asked) -> Text:
        """Encode what is asked for: a row for the camera and one for every effect."""
        rows = asked.rows().to(self.position.dtype)
        return Text(self.transformer.cross_keys_values(rows), self.pooled(rows.flatten(1))[:, None], asked)

    def silence(self, batch: int) -> Text:
        """No text at all: what the picture and the past are read under, so that prompts never leak from them."""
        rows = self.position.new_zeros(batch, ROWS, COLUMNS)
        return Text(self.transformer.cross_keys_values(rows), self.position.new_zeros(batch, 1, self.config.dim))

    def encode_picture(self, picture: Tensor) -> Scene:
        """Encode ``[B, 3, 128, 224]`` in -1..1; ``masks`` are logits ``[B, 4, 32, 56]`` (training's helper)."""
        features = self.picture(picture)
        batch = len(picture)
        silence = self.silence(batch)
        time = self.transformer.embed_time(picture.new_zeros(batch, 1, dtype=torch.float32))
        _, sink = self.transformer(features + self.position, time, None, silence.cross, self.rotation(0))
        size = self.config.patch
        rows, columns = GRID[0] // size, GRID[1] // size
        logits = self.mask_head(features).view(batch, rows, columns, len(MASKS), size, size)
        return Scene(self.add(features), sink, logits.permute(0, 3, 1, 4, 2, 5).reshape(batch, len(MASKS), *GRID))

    def encode_context(self, latent: Tensor, scene: Scene, silence: Text) -> list[KeyValue]:
        """Keys (un-rotated) and values of a clean latent ``[B, 12, 1, 32, 56]``; it sees the picture and itself."""
        first = self.rotation(0)
        window = [(rotate(k, first), v) for k, v in scene.sink]
        time = self.transformer.embed_time(latent.new_zeros(len(latent), 1, dtype=torch.float32))
        tokens = self.tokens(latent, latent, scene.add)
        place = self.rotation(self.config.window + 1)
        return self.transformer.read(tokens, time + silence.pooled, window, silence.cross, place)

    def denoise(
        self, noisy: Tensor, last: Tensor, sigma: Tensor, scene: Scene, text: Text, window: list[KeyValue]
    ) -> Tensor:
        """Estimate the clean latent.

        Args:
            noisy: ``[B, 12, 1, 32, 56]`` at noise level sigma.
            last: the latent before it, same shape.
            sigma: ``float32 [B]`` in 0..1.
            window: rotated keys and values of sink and past.

        Returns:
            ``[B, 12, 1, 32, 56]``.
        """
        time = self.transformer.embed_time(1000 * sigma[:, None]) + text.pooled
        tokens = self.tokens(noisy, last, scene.add)
        patches, _ = self.transformer(tokens, time, window, text.cross, self.rotation(self.config.window + 1))
        return self.estimate(patches, last)

    def tokens(self, noisy: Tensor, last: Tensor, add: Tensor) -> Tensor:
        """Give the transformer's tokens of a noisy latent and the last one; ``add`` is a scene's."""
        place = self.coordinates.to(noisy.dtype).expand(len(noisy), -1, -1, -1, -1)
        return self.transformer.patchify(torch.cat([noisy, last, place], dim=1)) + self.position + add

    def estimate(self, patches: Tensor, last: Tensor) -> Tensor:
        """Give the clean latent from the transformer's patches: a change of the last one."""
        rows, columns = GRID[0] // self.config.patch, GRID[1] // self.config.patch
        return self.gate * last + self.transformer.unpatchify(patches, (1, rows, columns))
