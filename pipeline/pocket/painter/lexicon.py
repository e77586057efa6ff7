"""The words by which a scene is asked for, and those that say that something moves; ``|`` stands between two."""

import re

from pipeline.pocket.painter.scenery import Colour, Hour, Place, Weather

PLACES: dict[Place, str] = {
    "sea": "sea|seas|ocean|oceans|seascape|seaside|coast|bay|horizon over water|beach|waves at sea",
    "lake": "lake|lakes|lakeside|pond|fjord|river|lagoon",
    "mountains": "mountain|mountains|peak|peaks|alps|summit|mountain range|mountainside",
    "hills": "hill|hills|hillside|valley|highlands|ridges",
    "forest": "forest|forests|wood|woods|woodland|jungle|grove|rainforest",
    "field": "field|fields|meadow|meadows|grassland|prairie|steppe|plains|pasture",
    "desert": "desert|deserts|dune|dunes|sahara|sands",
    "snow": "snowfield|snowfields|snow field|snowy field|snowy fields|snowy plain|tundra|arctic|winter landscape|"
    "snowscape|snowy landscape",
    "sky": "sky|skies|skyscape|cloudscape|clouds|dark clouds|heavens",
    "stars": "galaxy|milky way|starry sky|starry skies|night sky|outer space|cosmos|universe|constellations",
    "fire": "campfire|camp fire|bonfire|fire|flames|fireside",
    "abstract": "abstract|abstraction|abstract light|abstract lights|abstract colours|abstract colors|bokeh",
}
HOURS: dict[Hour, str] = {
    "dawn": "dawn|sunrise|daybreak|early morning|morning|first light",
    "day": "day|daytime|noon|midday|daylight|afternoon|sunny|sunlit",
    "sunset": "sunset|sundown|golden hour|evening|setting sun",
    "dusk": "dusk|twilight|nightfall|blue hour",
    "night": "night|nighttime|midnight|moonlight|moonlit|nocturnal|dark",
}
WEATHER: dict[Weather, str] = {
    "clear": "clear|cloudless|bright",
    "cloudy": "cloudy|overcast|clouded|grey sky|gray sky|rainy",
    "misty": "misty|mist|foggy|fog|hazy|haze",
    "stormy": "stormy|storm|dark clouds|tempest|thunderstorm|rough|raging|dramatic",
}
COLOURS: dict[Colour, str] = {
    "red": "red|crimson|scarlet|blood red", "orange": "orange|amber", "gold": "gold|golden|yellow",
    "green": "green|emerald", "teal": "teal|turquoise|cyan", "blue": "blue|azure|indigo",
    "purple": "purple|violet|lilac|magenta", "pink": "pink|rose|rosy", "white": "white|silver|silvery",
}  # fmt: skip
FLAGS = {
    "is_wintry": "snowy|snow-covered|snow covered|snow-capped|snowcapped|wintry|winter|icy|frosty|frozen|snow",
    "has_moon": "moon|full moon|moonlight|moonlit",
    "has_stars": "stars|starry|starlit|star-filled|milky way|galaxy|constellations|starry sky|starry skies",
    "has_aurora": "aurora|aurora borealis|northern lights|polar lights|southern lights",
    "has_fire": "campfire|camp fire|bonfire|fire|flames|fireside",
}
# Words that say no more than that a scene is meant.
PLAIN = (
    "calm|quiet|still|peaceful|serene|beautiful|lonely|vast|wide|endless|deep|high|tall|distant|far|rolling|old|great|"
    "little|small|big|soft|light|lights|trees|tree|pines|firs|fir|pine|landscape|scenery|scene|view|picture|"
    "painting|image|photo|sun|water|grass|sand|shore|range|sunlight|glow|glowing|background|front|middle|distance|place"
)
# They say as much of how it moves.
KEPT = "rainy|windy|breezy|snowing|raining"
# Alone they are something that falls or rolls in, not what a scene is like.
WEAK = frozenset({"snow", *WEATHER["misty"].split("|"), *WEATHER["stormy"].split("|"), *WEATHER["cloudy"].split("|")})
# What a colour says nothing more of.
NATURAL: dict[Colour, tuple[Place, ...]] = {
    "green": ("hills", "forest", "field", "mountains"), "blue": ("sea", "lake", "sky"), "white": ("snow", "sky"),
    "gold": ("desert",),
}  # fmt: skip
# Small words that hold a phrase together: "over the", "at", "a ... with".
JOINS = (
    "a|an|the|of|in|on|at|over|above|under|beneath|behind|between|among|by|near|with|and|before|through|across|around|"
    "into|from|to|along|beside|during|full|some|its|is|there|show|paint|draw|me|as"
)
MOVES = re.compile(
    r"\b(camera|pans?|panning|tilts?|tilting|zooms?|zooming|rolls?|rolling (?:in|out|past|by)|falls?|falling|drifts?|"
    r"drifting|sways?|swaying|moves?|moving|blows?|blowing|ripples?|rippling|breathes?|breathing|rises?|rising|sets|sinks?|turns?|"
    r"turning|rotates?|rotating|slides?|gets?|becomes?|grows?|comes?|coming|begins?|starts?|stops?|rains|snows|snowing|"
    r"raining|passes|passing|lifts?|fades?|flickers?|dances?|shakes?|shaking|gusts?|swells?|lap|laps|lapping|float|"
    r"floats|floating|pours?|drizzles?|closer|slowly|fast|faster|gently|no|not|don't|without|more|less|keep|"
    r"it|wind|breeze|rain|waves|behind \w+|flickering|dancing|twinkles?|twinkling|sparkles?|sparkling|"
    r"blinks?|burns?|burning|crackles?|shimmers?|shimmering|smokes|smoking|steams|steaming|flows?|flowing|crash(?:es)?|crashing|"
    r"shifts?|shifting|changes?|changing|time.?lapse|"
    r"earthquake|vertigo|dolly zoom|shaky)\b"
)

# One of each kind, for who does not know what to write.
SCENES = (
    "a calm lake between mountains at dawn",
    "a red sunset over the sea",
    "a stormy sea at night, rain falls",
    "a starry night over a lake",
    "a misty forest, the leaves sway in the wind",
    "a campfire in the dark forest",
    "snowy mountains under the northern lights",
    "abstract blue light",
)
