"""Sizes of the Wan VAE, and what normalises its latents."""

from dataclasses import dataclass

# fmt: off
LATENT_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)
LATENT_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.916,
)
# fmt: on


@dataclass(frozen=True, slots=True)
class WanVAEConfig:
    """Sizes of one VAE; the published one's are the defaults.

    ``dim_mult`` are the widths of the stages over ``dim``, finest first; between two stages the size halves, and
    where ``temporal_downsample`` says so the frames too. ``latent_mean`` and ``latent_std`` normalise each channel
    of a latent.
    """

    dim: int = 96
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    latent_mean: tuple[float, ...] = LATENT_MEAN
    latent_std: tuple[float, ...] = LATENT_STD

    @property
    def spatial_factor(self) -> int:
        """Pixels to a latent's edge.

        >>> WanVAEConfig().spatial_factor
        8
        """
        return 2 ** (len(self.dim_mult) - 1)

    @property
    def temporal_factor(self) -> int:
        """Frames to a latent after the first.

        >>> WanVAEConfig().temporal_factor
        4
        """
        return 2 ** sum(self.temporal_downsample)

    @property
    def reach_px(self) -> int:
        """How far to its right an encoded place sees through the convolutions before the attention, in pixels.

        >>> WanVAEConfig().reach_px
        68
        """
        blocks = sum(2 * self.num_res_blocks * 2**stage for stage in range(len(self.dim_mult)))
        return 1 + blocks + self.spatial_factor - 1
