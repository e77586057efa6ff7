"""What the script of warps makes of a prompt: keywords, and nothing learned."""

import re
from dataclasses import dataclass

# Looked for in this order; of each kind of camera move the first that is found holds.
CAMERA = (
    ("still", r"camera (stays|is|holds) (still|fixed|put)|hold still|nothing moves|static"),
    ("dolly", r"dolly zoom|vertigo"),
    ("shake", r"shak(e|es|y|ing)|handheld"),
    ("zoom_in", r"zoom(s|ing)? in|push(es|ing)? in|closer|dolly in|approach"),
    ("zoom_out", r"zoom(s|ing)? out|pull(s|ing)? (back|out|away)|dolly out|back off|retreat"),
    ("roll_ccw", r"(rotat\w*|roll\w*|turn\w*|tilt\w*).*(counter|anti).?clockwise"),
    ("roll_cw", r"(rotat\w*|roll\w*).*clockwise|clockwise|(camera|view|picture) (rotates|rolls)"),
    ("pan_left", r"(pan|mov|look|slid|track|truck|camera)\w* .*left|pan left"),
    ("pan_right", r"(pan|mov|look|slid|track|truck|camera)\w* .*right|pan right"),
    ("tilt_up", r"(tilt|look|camera|mov|crane|ris)\w* .*\bup\b|tilt up"),
    ("tilt_down", r"(tilt|look|camera|mov|crane|sink)\w* .*\bdown\b|tilt down"),
)
EFFECTS = (
    ("day", r"night (turns|becomes|gives way) .*day|\bdawn\b|the sun rises|sunrise"),
    ("night", r"\bnight\b|\bdark(er|ens?|ness)?\b|\bdusk\b|moonlight"),
    ("warm", r"\bwarm\w*|golden|sunset|sunlight|orange light"),
    ("cold", r"\bcold\b|\bblue (light|hour)\b|\bchill\w*|\bicy\b|\bwintry\b"),
    ("rain", r"\brain\w*|\bdrizzle|\bdownpour|\bstorm\w*"),
    ("snow", r"\bsnow\w*|\bblizzard|\bflakes\b"),
    ("fog", r"\bfog\w*|\bmist\w*|\bhaze\b|\bhazy\b|\bsmoke\b"),
    ("leaves", r"leaves (fall|drift|tumble|blow|float)|falling leaves|leaf fall"),
    ("sway", r"\bsway\w*|\bwind\w*|\bbreeze\b|\brustl\w*|leaves move|trees move"),
    ("waves", r"\bwaves?\b|\bswell\b|\bsurf\b"),
    ("ripple", r"\brippl\w*|water (moves|flows|glitters|shimmers)|\bstream flows\b"),
    ("clouds", r"\bclouds?\b"),
    ("breathe", r"\bbreath\w*"),
    ("stars", r"\bstars?\b|\btwinkl\w*"),
    ("aurora", r"\baurora\b|northern lights"),
    ("dust", r"\bdust\b|\bmotes\b|\bpollen\b"),
    ("shimmer", r"\bshimmers?\b.*(heat|air)|(heat|air).*\bshimmer\w*|\bhaze of heat\b"),
    ("flicker", r"\bflicker\w*|\bfire\b|\bflames?\b|\bcandle\w*"),
)
WHERE = (
    ("background", r"\bbehind\b|\bbackground\b|\bdistance\b"),
    ("subject", r"\bforeground\b|\bon the subject\b"),
    ("sky", r"\b(in|across|over|on) the sky\b|\bthe sky (turns|gets|becomes|grows)\b"),
    ("water", r"\b(on|over|in|across) the (water|sea|lake|river)\b"),
    ("foliage", r"\b(in|on|among) the (trees|leaves|forest|grass)\b"),
    ("left", r"\bon the left\b|\bleft side\b|\bat the left\b"),
    ("right", r"\bon the right\b|\bright side\b|\bat the right\b"),
    ("top", r"\b(at|along|on) the top\b|\babove\b"),
    ("bottom", r"\b(at|along|on) the bottom\b|\bthe ground\b|\bbelow\b"),
)
DENIED = re.compile(
    r"\b(no|without|don'?t|do not|stop|never)\b[^,.;]*|(the )?camera (does not|doesn't|never) move|camera movement"
)


@dataclass(frozen=True, slots=True)
class Effect:
    """What is drawn, and where; "" for everywhere."""

    name: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a prompt asks for: a camera move ("" for none), effects, how fast, how strong."""

    camera: str
    effects: tuple[Effect, ...]
    speed: float
    strength: float


def understand(prompt: str) -> Wanted:
    """Look for keywords; a prompt that names nothing gets a slow push in.

    >>> understand("rain, but the camera does not move")
    Wanted(camera='', effects=(Effect(name='rain', where=''),), speed=1.0, strength=1.0)
    >>> understand("the subject breathes while snow falls behind it").effects
    (Effect(name='snow', where='background'), Effect(name='breathe', where=''))
    """
    text = prompt.lower()
    denied = DENIED.search(text) is not None
    text = DENIED.sub(" ", text)
    effects: list[Effect] = []
    for name, pattern in EFFECTS:
        found = re.search(pattern, text)
        if found:
            effects.append(Effect(name, _where(text, found.start())))
    spoken = text
    for _, pattern in WHERE:
        # "it rains on the left" is no camera that goes there.
        spoken = re.sub(pattern, " ", spoken)
    camera = next((name for name, pattern in CAMERA if re.search(pattern, spoken)), "")
    if not camera and not effects and not denied:
        camera = "gentle"
    fast = re.search(r"\b(quick|fast|rapid|sudden)\w*", text) is not None
    slow = re.search(r"\b(slow|gentl|gradual|soft)\w*", text) is not None
    strong = re.search(r"\b(heavy|heavily|strong|thick|dense|wild|hard)\w*", text) is not None
    faint = re.search(r"(?<!the )\b(light|faint|gentle|slight|little|soft)\b(?! (on|in|turns))", text) is not None
    return Wanted(
        "" if camera == "still" else camera,
        tuple(effects),
        2.0 if fast else 0.6 if slow else 1.0,
        1.5 if strong else 0.7 if faint and not any(e.name in ("warm", "cold") for e in effects) else 1.0,
    )


def _where(text: str, start: int) -> str:
    """The place that is named in the same clause as a keyword."""
    ends = [m.start() for m in re.finditer(r",|\band\b|\bwhile\b", text)]
    begin = max((end for end in ends if end <= start), default=0)
    stop = min((end for end in ends if end > start), default=len(text))
    clause = text[begin:stop]
    return next((name for name, pattern in WHERE if re.search(pattern, clause)), "")
