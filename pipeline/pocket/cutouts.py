"""Photographs cut out of their grounds, lent to other pictures as subjects: which they are, and on which terms.

The copyright file of their package says GPL-2 of all its files; who gave which picture, and where another licence than
that goes with it, its changelog says. Left out are cut-outs that are free by the GFDL alone, those said to come from an
encyclopedia or a picture exchange without a licence, and drawings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.pocket.sources import RawPicture, Source


@dataclass(frozen=True, slots=True)
class Credit:
    """Who made these cut-outs, by their names in the package without the suffix; a licence if it is not the package's.

    An author of "" is the one whom the copyright file names.
    """

    author: str
    names: tuple[str, ...]
    licence: str = ""
    origin: str = ""


def _in(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names.split())


CREDITS = (
    Credit(
        "Stas Zytkiewicz (Childsplay)",
        (
            "animals/amphibians/frog",
            *_in("animals/birds", "blackbird crow cuckoo duck gander lark nandou owl penguin pigeon quetzal"),
            *_in("animals/birds", "rooster seagull tucan turkey vulture"),
            *_in("animals/insects", "grasshopper hornet xanthia"),
            "animals/lizards/iguana",
            *_in("animals/mammals/apes", "chimp gorilla"),
            *_in("animals/mammals/aquatic", "dolphin orca sea_lion whale"),
            *_in("animals/mammals", "badger elephant ferret giraffe hippopotamus pig wildboar"),
            "animals/mammals/bears/bear",
            *_in("animals/mammals/bovines", "bison bull cow goat mountaingoat ram yak zebu"),
            *_in("animals/mammals/camel", "camel dromedary"),
            *_in("animals/mammals/cats", "lion tiger"),
            *_in("animals/mammals/deer", "caribou deer doe wapiti"),
            *_in("animals/mammals/dogs", "dog fox"),
            *_in("animals/mammals/equines", "donkey horse zebra"),
            *_in("animals/mammals/rodents", "beaver marmot mouse rabbit rat squirrel"),
            *_in("animals/marsupials", "koala wombat"),
        ),
    ),
    Credit(
        "Bill Kendrick",
        (
            *_in("animals/birds", "crowned_crane magellanic_penguin ostrich peacock pink_flamingo"),
            *_in("animals/mammals", "rhino_black apes/tamarin_emperor rodents/capybara"),
            "town/roadsigns/railroad_crossing",
        ),
    ),
    Credit(
        "Caroline Ford",
        (
            *_in("animals/birds", "chicken_profile drake"),
            *_in("animals/mammals", "bovines/cow_white bovines/sheep bovines/sheep_lamb equines/donkey_eating"),
            *_in("animals/mammals", "pig_golden pig_golden2 rabbit_little"),
            "vehicles/garbagetruck",
        ),
    ),
    Credit(
        "Pere Pujal i Carabantes",
        (
            "animals/amphibians/frog-1",
            "animals/insects/mantis",
            "animals/mammals/bears/european-bear",
            *_in("animals/mammals/bovines", "gnu-baby gnu-baby-stand gnu-sitting gnu-stand"),
            "animals/mammals/rodents/rabbit-2",
            "vehicles/construction/dumper",
        ),
        "GPL-2+",
    ),
    Credit(
        "Albert Cahalan",
        (
            *_in("military", "paratrooper vehicles/bradley vehicles/infantry-stryker"),
            *_in("people", "fireman200b fireman240a"),
            *_in("seasonal/halloween", "grave-a grave-c grave-d grave-f"),
            *_in("vehicles", "flight/balloon360 flight/planes/747 race/indycar"),
        ),
    ),
    Credit(
        "Jim Trice",
        (
            "animals/mammals/bears/toys/edward_bear",
            "people/toys/grannysmith",
            *_in("vehicles/ship", "chineseJunk walnutBoat"),
        ),
    ),
    Credit(
        "John O'Sullivan",
        ("animals/birds/guineafowl", *_in("animals/fish", "bluegroper butterflyfish coraltrout lionfish")),
    ),
    Credit("Chris Goerner", ("animals/birds/little-penguin",)),
    Credit("Erinn Lynch", _in("animals/birds", "heron_greatblue heron_greatblue_flying pelican"), "CC-BY-SA-2.5"),
    Credit(
        "Aaron M. Lang",
        ("vehicles/emergency/firetruck",),
        "CC-BY-2.5",
        "http://en.wikipedia.org/wiki/Image:E28_b.JPG",
    ),
    Credit(
        "Ansgar Walk",
        ("town/monuments/inukshuk-photo",),
        "CC-BY-SA-2.5",
        "http://en.wikipedia.org/wiki/Image:Inunnguaq_Rankin_Inlet_1996-07-18.jpg",
    ),
    Credit(
        "TSgt Ben Bloker, U.S. Air Force",
        ("military/vehicles/f22_raptor",),
        "public-domain",
        "http://commons.wikimedia.org/wiki/Image:Two_F-22A_Raptor_in_column_flight.jpg",
    ),
    Credit(
        "United States National Oceanic & Atmospheric Administration",
        _in("animals/fish", "lobster seahorse"),
        "public-domain",
    ),
    # What the changelog credits to nobody, or under no name that tells it from another.
    Credit(
        "",
        (
            "animals/insects/hoverfly",
            *_in("animals/mammals", "aquatic/otter cats/lion-2"),
            *_in("vehicles", "auto/sedan auto/sportscar2 auto/truck masstransit/green_korean_bus"),
        ),
    ),
)

CUT_OUTS = Source(
    "tuxpaint-stamps-default",
    root="usr/share/tuxpaint/stamps/",
    include=tuple(f"{name}.png" for credit in CREDITS for name in credit.names),
)


def credited(raw: RawPicture) -> RawPicture:
    """The picture with the terms that the changelog tells of it; one that it tells nothing of, as it is."""
    for credit in CREDITS:
        if raw.name.removesuffix(".png") in credit.names:
            terms = raw.terms
            author, licence = credit.author or terms.author, credit.licence or terms.licence
            return replace(raw, terms=replace(terms, author=author, licence=licence, origin=credit.origin))
    return raw
