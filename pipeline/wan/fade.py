"""Another picture out of the video before: that goes on for a chunk, then stands, while it fades."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Fade:
    """The frames that fade out, ``uint8 [N, H, W, 3]``, the frame at which that begins, and its length in frames."""

    before: Tensor
    begins: int
    frames: float

    @property
    def ends(self) -> float:
        """The frame from which only the new picture is seen."""
        return self.begins + self.frames

    def share(self, frame: int) -> float:
        """Give the new picture's share in a frame, 0..1, with no corner at either end.

        >>> fade = Fade(torch.empty(0), 10, 4.0)
        >>> [fade.share(frame) for frame in (9, 11, 13, 20)]
        [0.0, 0.5, 1.0, 1.0]
        """
        x = min(1.0, max(0.0, (frame + 1 - self.begins) / self.frames))
        return x * x * (3 - 2 * x)

    def over(self, frames: Tensor, first: int) -> Tensor:
        """Mix frames ``uint8 [F, H, W, 3]`` that begin at ``first`` with those that they come out of."""
        count = sum(first + number < self.ends for number in range(len(frames)))
        if not count:
            return frames
        numbers = range(first, first + count)
        shares = torch.tensor([self.share(number) for number in numbers], device=frames.device)
        # The last one stands for all that were not made.
        places = [min(number - self.begins, len(self.before) - 1) for number in numbers]
        mixed = torch.lerp(self.before[places].float(), frames[:count].float(), shares[:, None, None, None])
        return torch.cat([mixed.round_().to(torch.uint8), frames[count:]])
