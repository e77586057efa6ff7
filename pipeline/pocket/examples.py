"""Prompts that show what pocket understands, for the page: every camera move and every effect is in one."""

EXAMPLES = (
    "the leaves begin to sway in the wind",
    "the camera pans left",
    "snow begins to fall",
    "night falls and the camera slowly zooms in",
    "the clouds drift by",
    "gentle waves on the lake",
    "fog rolls in and the camera moves forward",
    "golden light floods the scene",
    "heavy rain falls while the camera pans to the right",
    "the cat breathes softly",
    "the camera stays still, the branches sway in the wind",
    "icy blue light fills the scene",
    "zoom out slowly",
    "the camera tilts up",
    "tilt down",
    "rotate the picture clockwise",
    "rotate the picture counterclockwise",
    "rain falls, no camera movement",
    "bring the picture to life",
)
