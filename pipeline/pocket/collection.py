"""Which packages pocket's pictures come from, and which pictures are held out of the training."""

from __future__ import annotations

from pipeline.pocket.sources import Source, Terms

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

# Of its copyright file, which no machine reads.
_WESNOTH = Terms("the Battle for Wesnoth contributors", "GPL-2+", "https://www.wesnoth.org", False)
_CAMPAIGNS = ("did", "httt", "l", "trow", "ttb")

# Painted people to the hip or knee, whom the frame cuts off below; without those that shine or can be seen through, and
# spearmen with feet. Beside them whole animals.
_PORTRAITS = "usr/share/games/wesnoth/1.16/data/core/images/portraits/"
BUSTS = Source(
    "wesnoth-1.16-data",
    root=_PORTRAITS,
    include=("dwarves/*", "elves/*", "humans/*", "dunefolk/herbalist.*", "goblins/*r*r*", "monsters/*ogre.*"),
    exclude=("*/shyde.*", "*/sylph.*", "*/*-light*", "*/mage-white*", "*/dark-adept*", "*/impaler.*", "*/spearman*"),
    terms=_WESNOTH,
)
BEASTS = Source(
    "wesnoth-1.16-data",
    root=_PORTRAITS,
    include=("wolves/*", *(f"monsters/{name}.*" for name in ("bear", "horse", "black-stallion", "falcon", "*boar"))),
    terms=_WESNOTH,
)

# Landscapes, paintings and photos that the network of layers alone learns from: those that its labels name.
LANDS = (
    Source("endless-sky-data", root="usr/share/games/endless-sky/", include=("images/land/*.jpg",)),
    Source("wesnoth-1.16-data", root="usr/share/games/wesnoth/1.16/data/", include=("core/*/story/*",), terms=_WESNOTH),
    *(
        Source(
            f"wesnoth-1.16-{name}",
            root="usr/share/games/wesnoth/1.16/data/",
            include=("campaigns/*/story/*",),
            terms=_WESNOTH,
        )
        for name in _CAMPAIGNS
    ),
    Source("lxqt-themes", root="usr/share/lxqt/", include=("wallpapers/*",)),
    Source("renpy-thequestion", root="usr/share/games/renpy/", include=("*/game/images/bg *", "*/gui/main_menu.png")),
    Source("unknown-horizons", root="usr/share/unknown-horizons/", include=("content/*/mainmenu/bg_*",)),
    Source("freedroidrpg-data", root="usr/share/freedroidrpg/", include=("data/graphics/backgrounds/*.jpg",)),
    Source("freecol", root="usr/share/games/freecol/default/", prefix="data/default/", include=("*/images/ui/*",)),
)

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
