"""Which packages pocket's pictures come from, and which pictures are held out of the training."""

from __future__ import annotations

from pipeline.pocket.sources import Source

# The photographs, and the drawings that show a scene; the rest of the package are abstract shapes.
_PLASMA = (
    *("Altai", "Autumn", "BytheWater", "DarkestHour", "EveningGlow", "FallenLeaf", "Kite", "OneStandsOut"),
    *("PastelHills", "Path", "SafeLanding", "summer_1am", "Volna"),
)
# The rest are calibration charts, scanned text and pictures known to be of unclear origin.
_OPENCV = (
    *("data/aero1", "data/aloeL", "data/apple", "data/building", "data/butterfly", "data/chicky_512"),
    *("data/fruits", "data/home", "data/leuvenA", "data/orange", "data/squirrel_cls", "data/starry_night"),
    *("data/rubberwhale1", "alphamat/input_images/plant"),
)

SOURCES = (
    Source(
        "gcompris-qt-data",
        root="/gcompris/",
        # Word cards, paintings with holes where a puzzle piece goes, and single things on plain ground.
        exclude=(
            "*words_sample*",
            "*/paintings/*",
            "*/babyshapes/*",
            "*/middleeast.*",
            "*.png",
            "*planet?.*",
        ),
    ),
    Source(
        "lomiri-wallpapers-16.04",
        root="usr/share/backgrounds/",
        prefix="16.04/",
        exclude=("*/umang*", "*/analog*"),
    ),
    Source("lomiri-wallpapers-20.04", root="usr/share/backgrounds/", prefix="20.04/"),
    Source("enlightenment-data", root="usr/share/enlightenment/data/backgrounds/", prefix="data/backgrounds/"),
    Source("mate-backgrounds", root="usr/share/backgrounds/mate/", include=("nature/*",)),
    Source("tuxpaint-data", root="usr/share/tuxpaint/", include=("templates/*.jpg",)),
    Source(
        "plasma-workspace-wallpapers",
        root="usr/share/wallpapers/",
        include=tuple(f"{name}/contents/images/{size}.*" for size in ("2560x1600", "5120x2880") for name in _PLASMA),
    ),
    Source("palapeli-data", root="usr/share/palapeli/", include=("collection/*",)),
    Source(
        "opencv-doc",
        root="usr/share/doc/opencv-doc/examples/",
        prefix="samples/",
        include=tuple(f"samples/{name}.*" for name in _OPENCV),
    ),
    Source(
        "python3-skimage",
        root="usr/lib/python3/dist-packages/",
        include=tuple(f"skimage/data/{n}.*" for n in ("astronaut", "chelsea", "coffee", "motorcycle_left", "rocket")),
    ),
)

# Landscapes that the network of layers alone learns from: those that its labels name.
LAND = Source("endless-sky-data", root="usr/share/games/endless-sky/", include=("images/land/*.jpg",))

# Chosen for variety before anything was trained.
HELD_OUT = (
    # sky and mountains
    "16.04/picosdeeuropa*",
    "nature/Storm.*",
    "templates/sun_behind_clouds.*",
    "*/wonders/machuPicchu.*",
    "*/usa/canyondeChelly.*",
    "16.04/sunset_*",
    # water
    "templates/ocean_waves.*",
    "EveningGlow/*",
    "*/france/montStMichel.*",
    "*/EgeskovSlotSpejling*",
    "*/clickgame/*/sea3.*",
    "*/animals/narwhal.*",
    # trees, leaves, flowers, snow
    "Path/*",
    "templates/trees_at_dusk.*",
    "*/Snow-Trees.edj/*",
    "nature/YellowFlower.*",
    "16.04/aitzgorri*",
    # people and animals
    "skimage/data/astronaut.*",
    "*/music/japan.*",
    "16.04/friends_*",
    "*/erase/*/kitten.*",
    "*/erase/*/cheetah.*",
    "*/farm*/horse.*",
    "*/erase/*/butterfly.*",
    # city and night
    "collection/cincinnati-bridge.*",
    "*/usa/lincolnMemorial.*",
    "*/wonders/christTheRedeemer.*",
    "*/india/greatStupa.*",
    "templates/lighthouse.*",
    # paintings and drawings, things
    "samples/data/starry_night.*",
    "*/VincentVanGoghBridge*",
    "Altai/*",
    "samples/data/fruits.*",
)
