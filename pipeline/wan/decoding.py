"""Latents into the bytes that leave the pipeline, as live video needs it: on a GPU as one recorded graph.

What a stream remembers stays a value: its memory is copied into the graph's place for it, brought forward there, and
copied out, which is four passes over it a chunk. That is 67 MB for the tiny decoder and 1.9 GB for the Wan VAE's at
480x832 in two-byte floats. The graph's place is one for all streams.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pipeline.host_copy import HostCopy
from pipeline.networks.frame_decoder import FrameDecoder, VAEMemory
from pipeline.networks.vae_tiny import TinyVAE
from pipeline.networks.vae_tiny_live import TinyLive
from pipeline.networks.vae_wan import WanVAE
from pipeline.networks.vae_wan_live import WanLive
from pipeline.preprocess import to_bytes
from pipeline.recorded import Recorded, may_record
from pipeline.types import Pixels
from pipeline.wan.frames import frames_of


class LiveNetwork(Protocol):
    """A decoder prepared for one stream's latents a call, over slots that it overwrites.

    ``begins`` says whether it takes a stream's first latent, which gives four frames then; ``frames_to_trim`` of them
    stand for nothing.
    """

    frames_to_trim: int
    begins: bool

    def beginning(self, height: int, width: int, device: torch.device) -> list[Tensor]:
        """Make slots without history, all zeros, for latents of this size."""
        ...

    def __call__(self, latents: Tensor, slots: Sequence[Tensor]) -> Tensor:
        """Decode ``[1, 16, T, h, w]`` to ``[4 T, H, W, 3]`` in 0..1, and bring the slots forward."""
        ...


def prepared(decoder: FrameDecoder, device: torch.device) -> LiveNetwork | None:
    """Prepare a decoder for live use; None where its plain form is the one to use: on a CPU, and for another's."""
    if device.type != "cuda":
        return None
    if isinstance(decoder, TinyVAE):
        return TinyLive(decoder, fuses=next(decoder.parameters()).dtype.itemsize == 2)
    return WanLive(decoder) if isinstance(decoder, WanVAE) else None


class LiveDecoder:
    """A decoder for live streams of one size, called by one thread at a time.

    On a GPU, calls of ``latents_per_chunk`` and of one latent are recorded graphs over the same slots, others run step
    by step; ``network`` is what :func:`prepared` made. Without one this is
    :meth:`~pipeline.networks.frame_decoder.FrameDecoder.decode_frames`, bit for bit.
    """

    def __init__(self, decoder: FrameDecoder, network: LiveNetwork | None, latents_per_chunk: int) -> None:
        self._decoder, self._network = decoder, network
        self._counts = {1, latents_per_chunk}
        self._slots: list[Tensor] = []
        self._recorded: dict[int, Recorded[Tensor]] = {}

    @torch.inference_mode()
    def decode(self, latents: Tensor, memory: VAEMemory | None) -> tuple[Tensor, VAEMemory]:
        """Decode the next latents of a stream.

        Args:
            latents: ``float [1, 16, T, h, w]``, as the transformer makes them (normalised); of one size in all calls.
            memory: what the last call gave, or None at a stream's beginning. It stays as it is.

        Returns:
            Frames ``uint8 [F, H, W, 3]`` on the device, one for a stream's first latent and four for each other, and
            the memory for the next call. Later calls leave both as they are.
        """
        memory = memory or VAEMemory()
        if self._network is None or (memory.is_beginning and not self._network.begins and latents.shape[2] == 1):
            video, seen = self._decoder.decode_frames(latents, memory)
            return frames_of(video), seen
        if memory.is_beginning and not self._network.begins:
            first, memory = self.decode(latents[:, :, :1], memory)
            rest, memory = self._go_on(self._network, latents[:, :, 1:], memory)
            return torch.cat([first, rest]), memory
        frames, seen = self._go_on(self._network, latents, memory)
        return frames[self._network.frames_to_trim if memory.is_beginning else 0 :], seen

    def to_host(self, frames: Tensor) -> Pixels:
        """Copy frames to host memory that is the array's own (:class:`pipeline.host_copy.HostCopy`)."""
        return HostCopy(frames.contiguous()).wait()

    def _go_on(self, network: LiveNetwork, latents: Tensor, memory: VAEMemory) -> tuple[Tensor, VAEMemory]:
        count = latents.shape[2]
        if count not in self._counts or not may_record(latents.device):
            slots = network.beginning(latents.shape[3], latents.shape[4], latents.device)
            load_memory(slots, memory)
            return to_bytes(network(latents, slots)), VAEMemory(tuple(slots))
        if not self._slots:
            self._slots = network.beginning(latents.shape[3], latents.shape[4], latents.device)
        if count not in self._recorded:
            self._recorded[count] = _record(network, latents, self._slots)
        load_memory(self._slots, memory)
        frames = self._recorded[count](latents)
        return frames.clone(), VAEMemory(tuple(slot.clone() for slot in self._slots))


def _record(network: LiveNetwork, latents: Tensor, slots: Sequence[Tensor]) -> Recorded[Tensor]:
    # cuDNN's own choice among its kernels is a guess; the rehearsals measure them.
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    try:
        return Recorded(lambda latents: to_bytes(network(latents, slots)), [latents])
    finally:
        torch.backends.cudnn.benchmark = before


def load_memory(slots: Sequence[Tensor], memory: VAEMemory) -> None:
    """Copy a memory into slots; what it has not seen yet is zeros."""
    past = memory.slots or (None,) * len(slots)
    for slot, seen in zip(slots, past, strict=True):
        if seen is None or seen.shape != slot.shape:
            slot.zero_()
        if seen is not None:
            # After a stream's first latent the Wan VAE has one frame where there will be two: the newer.
            slot[:, :, slot.shape[2] - seen.shape[2] :].copy_(seen)
