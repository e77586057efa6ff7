"""What draws the eye as a witness of what is a subject: it makes subjects likelier where it does, less so elsewhere.

The network of layers knows what sky, water and leaves look like, and has seen few subjects; the salient network
(:mod:`pipeline.pocket.salient_network`) knows none of them, and has seen thousands of things by themselves.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.pocket.layers import SUBJECT
from pipeline.pocket.salient_network import INPUT_SIZE, SalientNetwork

# The powers by which odds of what draws the eye count for a subject, and against one: more things that it does not look
# at are subjects than the other way round. Odds go from DOUBT : 1 + DOUBT to the reverse.
FOR, AGAINST, DOUBT = 1.0, 0.5, 0.05
# Where hardly anything is as salient as the first of these nothing draws the eye, and it has no say; from the second on
# all of it. So salient is one place of a hundred.
NOTHING, SURELY, TOP = 0.5, 0.9, 0.99


def salience(network: SalientNetwork, picture: Tensor) -> Tensor:
    """How much each place of a picture ``[1, 3, H, W]`` in -1..1 draws the eye: ``float32 [1, 1, 80, 80]`` in 0..1."""
    small = F.interpolate(picture, INPUT_SIZE, mode="bilinear", antialias=True)
    # With a pixel's channels side by side it takes a CPU half the time.
    return network(small.to(network.told.weight.dtype).contiguous(memory_format=torch.channels_last)).float()


def borne_witness(shares: Tensor, salient: Tensor) -> Tensor:
    """Shares ``[1, 5, h, w]`` in which a subject is as likely as what draws the eye, ``[1, 1, H, W]``, makes it.

    >>> half = torch.full((1, 5, 1, 3), 0.0).index_fill(1, torch.tensor([0, 4]), 0.5)
    >>> borne_witness(half, torch.tensor([[[[0.0, 0.5, 1.0]]]]))[0, 4]
    tensor([[0.1791, 0.5000, 0.9545]])
    """
    seen = F.interpolate(salient, size=shares.shape[2:], mode="bilinear", align_corners=False)
    top = float(torch.quantile(salient.flatten(), TOP))
    say = min(1.0, max(0.0, (top - NOTHING) / (SURELY - NOTHING)))
    log_odds = say * ((seen + DOUBT) / (1 - seen + DOUBT)).log()
    shares = shares.clone()
    shares[:, SUBJECT : SUBJECT + 1] *= torch.where(log_odds > 0, FOR * log_odds, AGAINST * log_odds).exp()
    return shares / shares.sum(1, keepdim=True)
