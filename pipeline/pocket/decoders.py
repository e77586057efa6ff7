"""One model makes frames of several sizes: which one a take has, and a decoder for each."""

from collections.abc import Callable, Sequence

import torch

from pipeline.errors import ConditioningError
from pipeline.geometry import Size, nearest_size
from pipeline.pocket.decoder import AnchoredDecoder
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.view import View
from pipeline.types import Conditioning


class Decoders:
    """Decoders by the frame's size, each made when it is first needed and kept: its weather takes 5 MB."""

    def __init__(self, frames_per_latent: int, device: torch.device) -> None:
        self._frames, self._device = frames_per_latent, device
        self._made: dict[View, AnchoredDecoder | GpuDecoder] = {}
        self._before_frame: Callable[[], None] | None = None

    def of(self, view: View) -> AnchoredDecoder | GpuDecoder:
        """Give the decoder of a size."""
        if view not in self._made:
            on_gpu = self._device.type == "cuda"
            made = GpuDecoder(view, self._frames, self._device) if on_gpu else AnchoredDecoder(view=view)
            self.use(view, made)
        return self._made[view]

    def use(self, view: View, decoder: AnchoredDecoder | GpuDecoder) -> None:
        """Take this decoder for a size."""
        self._made[view] = decoder
        if self._before_frame is not None and isinstance(decoder, AnchoredDecoder):
            decoder.before_frame = self._before_frame

    def heed(self, before_frame: Callable[[], None]) -> None:
        """Have this called before each frame on a CPU; it raises to give up the latent."""
        self._before_frame = before_frame
        for view, decoder in self._made.items():
            self.use(view, decoder)


def view_of(conditioning: Conditioning, sizes: Sequence[Size]) -> View:
    """Give the size of a take that begins: the one asked for, else that nearest in shape to its picture.

    Raises ConditioningError for a size that is none of these.

    >>> view_of(Conditioning("t2v", "waves", None, 0), [(832, 480), (480, 832)])
    View(width=832, height=480)
    """
    size, image = conditioning.size, conditioning.image
    if size is None:
        size = sizes[0] if image is None else nearest_size(image.shape[1], image.shape[0], sizes)
    if size not in sizes:
        has = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise ConditioningError(f"this model makes no {size[0]}x{size[1]}; its sizes are {has}")
    return View(*size)
