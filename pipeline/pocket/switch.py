"""How another prompt comes into a running stream of pocket's: its text little by little, or from rest.

What pocket sees of the past was read without any text, so there is nothing to be read again under another one; and it
sees one second, of which a flush would let go little.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from pipeline.pocket.decoder import Motion
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.network import Text
from pipeline.pocket.own_motion import Asking
from pipeline.state import Boundary
from pipeline.travel import Said, Travel
from pipeline.types import Conditioning, Policy

POLICIES: tuple[Policy, ...] = ("auto", "blend", "cut")


def turned(here: Boundary, asked: Conditioning) -> Boundary:
    """Give the boundary that the next latent is made from: by ``cut`` at rest, with nothing of the past to be seen."""
    if here.travel.prompt is None or asked.prompt == here.travel.prompt:
        return here if here.travel.prompt is not None else replace(here, travel=Travel(asked.prompt))
    here = replace(here, travel=here.travel.to(asked, here.latents, LATENTS_PER_SECOND))
    if asked.policy != "cut":
        return here
    motion = replace(Motion.at_rest(here.last.device), latent=here.motion.latent)
    return replace(here, last=torch.zeros_like(here.last), motion=motion, rested=here.latents, asking=Asking())


def blended(read: Callable[[str], Text], said: Said) -> Text:
    """Give what is said as the network sees it; where it reaches is where the newest prompt does."""
    texts, shares = [read(prompt) for prompt, _ in said], [share for _, share in said]
    if len(texts) == 1:
        return texts[0]

    def mixed(parts: list[torch.Tensor]) -> torch.Tensor:
        weighed = (part.float() * share for part, share in zip(parts, shares, strict=True))
        return torch.stack(list(weighed)).sum(0).to(parts[0].dtype)

    cross = [
        tuple((mixed([k for k, _ in pairs]), mixed([v for _, v in pairs])) for pairs in zip(*layer, strict=True))
        for layer in zip(*(text.cross for text in texts), strict=True)
    ]
    return replace(texts[-1], cross=cross, pooled=mixed([text.pooled for text in texts]))
