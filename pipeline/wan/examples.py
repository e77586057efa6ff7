"""Prompts that Wan models were made for, by how a picture enters them."""

from collections.abc import Mapping

from pipeline.types import ImageEntry

FROM_A_PICTURE = (
    "The person starts walking forward slowly",
    "The leaves begin to sway gently in the wind",
    "The water starts flowing and creating ripples",
    "The character turns their head and smiles",
)
FROM_TEXT = (
    "A sailing boat crosses a calm bay at sunset, seen from the cliffs, golden light on the water",
    "A red fox runs through fresh snow in a birch forest, the camera follows at its side",
    "Rain runs down a cafe window at night, neon signs glow behind it out of focus",
)

EXAMPLES: Mapping[ImageEntry, tuple[str, ...]] = {
    "none": FROM_TEXT,
    "first_latent": (*FROM_A_PICTURE, *FROM_TEXT),
    "clip": FROM_A_PICTURE,
}
