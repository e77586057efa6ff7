"""The names of all that a prompt can ask for: camera moves, effects, places."""

MOVES = ("pan_left", "pan_right", "tilt_up", "tilt_down", "zoom_in", "zoom_out", "roll_cw", "roll_ccw")
CAMERAS = ("none", "still", "drift", *MOVES)
# What the transformer learned, and what is drawn by rule over what it makes; the latter behind, so indices stay.
EFFECTS = ("night", "warm", "cold", "rain", "snow", "fog", "sway", "ripple", "breathe", "clouds")
DRAWN = (
    "fire", "twinkle", "aurora", "leaves", "smoke", "dust", "heat", "stream", "waves", "day", "hue", "shake", "dolly",
)  # fmt: skip
NAMED = EFFECTS + DRAWN
REGIONS = ("whole", "left", "right", "top", "bottom", "sky", "water", "foliage", "subject", "ground")
# Where an effect is when the prompt does not say.
DEFAULT_REGION = dict.fromkeys(NAMED, "whole") | {
    "sway": "foliage", "ripple": "water", "breathe": "subject", "clouds": "sky",
    "twinkle": "sky", "aurora": "sky", "stream": "water", "waves": "water",
}  # fmt: skip
