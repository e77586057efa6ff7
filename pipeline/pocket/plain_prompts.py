"""Plain words for every camera move and effect, by which motion is judged apart from reading."""

from pipeline.pocket.language import DEFAULT_REGION, Effect, Intents, Prompt

# Plain words, fixed before training. The first prompt of each class is also what the longer trials ask for.
CAMERA_PHRASES = {
    "pan_left": ("the camera pans left", "pan left", "move the camera to the left"),
    "pan_right": ("the camera pans right", "pan right", "move the camera to the right"),
    "tilt_up": ("the camera tilts up", "tilt up", "look up"),
    "tilt_down": ("the camera tilts down", "tilt down", "look down"),
    "zoom_in": ("the camera zooms in", "zoom in", "move closer"),
    "zoom_out": ("the camera zooms out", "zoom out", "pull back"),
    "roll_cw": ("rotate the picture clockwise", "roll clockwise", "the view rotates clockwise"),
    "roll_ccw": ("rotate the picture counterclockwise", "roll counterclockwise", "the view rotates anticlockwise"),
    "still": ("the camera stays still", "hold still", "nothing moves"),
}
EFFECT_PHRASES = {
    "night": ("night falls", "it is night", "make it dark"),
    "warm": ("warm golden light", "the light turns warm", "sunset colours"),
    "cold": ("cold blue light", "the light turns cold", "make it look cold"),
    "rain": ("rain falls", "it is raining", "make it rain"),
    "snow": ("snow falls", "it is snowing", "let it snow"),
    "fog": ("fog rolls in", "it is foggy", "add fog"),
    "sway": ("the leaves sway in the wind", "the plants sway", "wind moves the leaves"),
    "ripple": ("ripples on the water", "the water ripples", "gentle waves"),
    "breathe": ("the subject breathes", "it breathes gently", "breathing"),
    "clouds": ("the clouds drift by", "clouds move across the sky", "drifting clouds"),
}
DRAWN_PHRASES = {
    "fire": "the fire flickers", "twinkle": "the stars twinkle", "aurora": "northern lights dance in the sky",
    "leaves": "leaves fall", "smoke": "smoke rises", "dust": "dust floats in the light",
    "heat": "the air shimmers in the heat", "stream": "the river flows", "waves": "waves roll in",
    "day": "day turns to night and back", "hue": "the colours shift through the rainbow",
    "shake": "the camera shakes", "dolly": "a dolly zoom",
}  # fmt: skip
GENTLE = Prompt("a photo of an old place", Intents("drift"))
# Two effects at once, in two pictures each: what the meter tells apart on the truth's renders.
PAIRS = (
    ("night", "rain"), ("night", "snow"), ("cold", "snow"), ("warm", "fog"), ("cold", "rain"), ("rain", "fog"),
    ("warm", "clouds"), ("night", "clouds"), ("night", "ripple"), ("warm", "sway"), ("cold", "breathe"),
    ("fog", "sway"),
)  # fmt: skip


def camera_prompt(name: str, variant: int = 0) -> Prompt:
    """A plain prompt for a camera class."""
    return Prompt(CAMERA_PHRASES[name][variant % 3], Intents(name))


def effect_prompt(name: str, variant: int = 0) -> Prompt:
    """A plain prompt for an effect."""
    return Prompt(EFFECT_PHRASES[name][variant % 3], Intents("none", 1.0, (Effect(name, DEFAULT_REGION[name]),)))


def pair_prompt(name: str) -> Prompt:
    """A plain prompt for two effects whose names are joined by a plus.

    >>> pair_prompt("night+rain").text
    'night falls, rain falls'
    """
    prompts = [effect_prompt(one) for one in name.split("+")]
    effects = tuple(prompt.intents.effects[0] for prompt in prompts)
    return Prompt(", ".join(prompt.text for prompt in prompts), Intents("none", 1.0, effects))
