"""What of a prompt goes together: effects and places, what contradicts what, and what is near to what."""

_HALVES = ("left", "right", "top", "bottom")
NAMED_REGIONS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("night", "warm", "cold"), (*_HALVES, "sky", "ground", "subject", "whole", "water")
)
NAMED_REGIONS |= dict.fromkeys(("rain", "snow", "fog"), (*_HALVES, "sky", "ground", "whole", "water", "foliage"))
NAMED_REGIONS |= {"sway": (*_HALVES, "whole"), "ripple": (*_HALVES, "whole")}
NAMED_REGIONS |= {"breathe": ("left", "right"), "clouds": ("left", "right", "top")}
NAMED_REGIONS |= dict.fromkeys(("fire", "smoke", "heat"), (*_HALVES, "ground", "whole"))
NAMED_REGIONS |= dict.fromkeys(("leaves", "dust"), (*_HALVES, "whole", "foliage", "ground", "subject"))
NAMED_REGIONS |= dict.fromkeys(("twinkle", "aurora"), ("left", "right", "top"))
NAMED_REGIONS |= dict.fromkeys(("stream", "waves"), ("left", "right", "bottom", "whole"))
NAMED_REGIONS |= {"hue": (*_HALVES, "sky", "water", "subject", "ground", "whole")}
CONTRADICTIONS = ({"warm", "cold"}, {"rain", "snow"}, {"night", "warm"}, {"night", "day"})
CONTRADICTIONS += ({"ripple", "waves"}, {"shake", "still"}, {"dolly", "zoom_in"}, {"dolly", "zoom_out"})
# What is named in the place of what: things that are near to each other, and so easily taken for each other.
NEAR = (
    "rain snow fog", "warm cold night day", "ripple stream waves", "fire smoke warm", "twinkle aurora night",
    "leaves snow dust sway", "heat fog smoke", "dust fog smoke", "hue warm cold", "clouds sway ripple breathe",
)  # fmt: skip
OPPOSITE = {"pan_left": "pan_right", "tilt_up": "tilt_down", "zoom_in": "zoom_out", "roll_cw": "roll_ccw"}
OPPOSITE |= {there: here for here, there in OPPOSITE.items()}
