"""Every bar that pocket is held to, what was found of it, and whether it is met."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from pipeline.pocket import labels, motion
from pipeline.pocket.endless import BARS, LIKE, SHARP
from pipeline.pocket.endless import verdicts as endless_verdicts
from pipeline.pocket.measure import LOOKS
from pipeline.pocket.towers import TOWERS, WHOLE

Results = dict[str, dict[str, Any]]
Trials = list[dict[str, Any]]
# Least share of camera moves and of effects read right, of phrasings in all and of each class; speeds in nominal units;
# dB at rest after a minute; least share of negations and of what is beyond pocket that is read so.
CAMERA, EFFECTS, PHRASINGS, LEAST_CLASS, SPEED, STILL_DB, NEGATION, BEYOND = (
    0.99,
    0.97,
    0.95,
    0.85,
    (0.93, 1.07),
    50,
    0.9,
    0.95,
)
WEIGHTS_MB, LOAD_S, MEMORY_MB = 25, 2, 1000
# By how much a share or a correlation falls that falls without a tower.
FALLS = 0.05


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked for, how much of it, what was found; ``met`` is None where it was not tried."""

    name: str
    bar: str
    found: str = ""
    met: bool | None = None


def group(results: Results, kind: str) -> dict[str, Trials]:
    """Results of a kind by class; each knows its ``picture``."""
    found: dict[str, Trials] = {}
    for key, result in results.items():
        parts = key.split("/")
        if parts[0] == kind:
            found.setdefault(parts[1], []).append(result | {"picture": parts[2], "seconds": float(parts[4])})
    return found


def summary(results: Results) -> list[Bar]:
    """All bars, in one order."""
    return [
        _right(results, "camera", "camera moves read right", CAMERA),
        _speed(results),
        _right(results, "effect", "effects read right", EFFECTS),
        _right(results, "drawn", "drawn effects read right", EFFECTS),
        _right(results, "phrase", "held-out phrasings read right", PHRASINGS),
        _least_class(results),
        *_where(results),
        _least(results, "still", "at rest after a minute, against the picture", STILL_DB, " dB", lambda t: t["end"]),
        *_looks(results),
        _outside(results),
        *_motion(results),
        _steps(results),
        _towers(results),
        _readings(results, "negation", "negations read", NEGATION),
        _readings(results, "beyond", "beyond pocket, gentle life instead", BEYOND),
        *_costs(results),
    ]


def without_towers(results: Results) -> dict[str, list[tuple[float, float] | None]]:
    """Of each tower the shares of camera moves and effects read right and the correlation where it acts, without it and
    with it in the same trials; None where there are none.
    """
    told: dict[str, list[tuple[float, float] | None]] = {}
    for tower in TOWERS:
        pairs = {kind: _same_trials(results, kind, tower) for kind in ("camera", "effect", "where")}
        row = [
            tuple(mean(map(_value, side)) for side in zip(*some, strict=True)) if some else None
            for some in pairs.values()
        ]
        if any(row):
            told[tower] = row  # type: ignore[assignment]
    return told


def _same_trials(results: Results, kind: str, tower: str) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    """Results without a tower, each beside that of the same trial with it, and with the class."""
    ablated = f"{kind}-{tower}/"
    pairs = [(key.removeprefix(ablated), one) for key, one in results.items() if key.startswith(ablated)]
    return [
        ((rest.split("/")[0], one), (rest.split("/")[0], results[f"{kind}/{rest}"]))
        for rest, one in pairs
        if f"{kind}/{rest}" in results
    ]


def _value(told: tuple[str, dict[str, Any]]) -> float:
    name, result = told
    return result["correlation"] if "correlation" in result else float(result["class"] == name)


def _right(results: Results, kind: str, name: str, bar: float) -> Bar:
    right = [t["class"] == of for of, trials in group(results, kind).items() for t in trials]
    if not right:
        return Bar(name, f"≥ {bar:.0%}")
    return Bar(name, f"≥ {bar:.0%}", f"{sum(right)}/{len(right)} = {mean(right):.1%}", mean(right) >= bar)


def _least_class(results: Results) -> Bar:
    name, bar = "held-out phrasings, the least class", f"≥ {LEAST_CLASS:.0%}"
    shares = {of: mean(t["class"] == of for t in trials) for of, trials in group(results, "phrase").items()}
    if not shares:
        return Bar(name, bar)
    under = ", ".join(f"{of} {share:.0%}" for of, share in shares.items() if share < LEAST_CLASS)
    return Bar(name, bar, under or f"{min(shares.values()):.0%}", not under)


def _speed(results: Results) -> Bar:
    name, bar = "speed of each camera move, its median in nominal units", f"{SPEED[0]} to {SPEED[1]}"
    found = {of: [t["speed"] for t in some if "speed" in t] for of, some in group(results, "camera").items()}
    return _between(name, bar, {of: median(some) for of, some in found.items() if some}, SPEED)


def _between(name: str, bar: str, found: dict[str, float], bounds: tuple[float, float]) -> Bar:
    if not found:
        return Bar(name, bar)
    low, high = (end(found, key=lambda of: found[of]) for end in (min, max))
    told = f"{found[low]:.3f} ({low}) to {found[high]:.3f} ({high})"
    return Bar(name, bar, told, bounds[0] <= found[low] <= found[high] <= bounds[1])


def _where(results: Results) -> list[Bar]:
    wishes, bars = group(results, "where"), labels.bars()
    found = {of: mean(t["correlation"] for t in some) for of, some in wishes.items()}
    leads = {of: found[of] - mean(t["prior"] for t in some) for of, some in wishes.items()}
    ghosts = {of: [t["ghost"] for t in some if "ghost" in t] for of, some in wishes.items()}
    means = {of: mean(some) for of, some in ghosts.items() if some}
    told = "where it acts, correlation with labels, each wish", "its lead over a guess", "ghosts, grey levels"
    return [
        _from(told[0], bars.correlation, found),
        _from(told[1], bars.lead, leads),
        _to(told[2], bars.ghost, means),
    ]  # fmt: skip


def _from(name: str, bar: float, found: dict[str, float]) -> Bar:
    if not found:
        return Bar(name, f"≥ {bar}")
    low, met = min(found, key=lambda of: found[of]), sum(value >= bar for value in found.values())
    told = f"mean {mean(found.values()):.3f}, least {found[low]:.3f} ({low}), {met} of {len(found)} meet it"
    return Bar(name, f"≥ {bar}", told, met == len(found))


def _to(name: str, bar: float, found: dict[str, float]) -> Bar:
    if not found:
        return Bar(name, f"≤ {bar}")
    high, met = max(found, key=lambda of: found[of]), sum(value <= bar for value in found.values())
    return Bar(name, f"≤ {bar}", f"most {found[high]:.3g} ({high}), {met} of {len(found)} meet it", met == len(found))


def _least(results: Results, kind: str, name: str, bar: float, unit: str, of: Callable[[dict[str, Any]], float]) -> Bar:
    values = [of(t) for some in group(results, kind).values() for t in some]
    told = f"{min(values):.4g}{unit} of {len(values)}" if values else ""
    return Bar(name, f"≥ {bar}{unit}", told, min(values) >= bar if values else None)


def _looks(results: Results) -> list[Bar]:
    """Identity, sharpness, looks and speeds of long takes: five minutes of drift, hours of endless."""
    hours, short = group(results, "endless"), group(results, "drift")
    every = [(of, t) for of, some in hours.items() for t in some]
    plain = [(of, t) for of, t in every if "like" in t]
    likes = {of: t["like"] for of, t in plain} | {f"{of}, 5 min": t["like"] for of, some in short.items() for t in some}
    sharp = {f"{of}, {end}": value for of, t in plain for end, value in zip(("least", "most"), t["sharp"], strict=True)}
    sharp |= {f"{of}, 5 min": t["late"][LOOKS.index("sharpness")] for of, some in short.items() for t in some}
    changes = {when: {of: _most(t[when][:3]) for of, t in every if t[when] is not None} for when in ("soon", "late")}
    changes["soon"] |= {
        f"{of} (drift)": _most(late / early - 1 for early, late in zip(t["early"][:3], t["late"][:3], strict=True))
        for of, some in short.items() for t in some if 240 < t["seconds"] < 600
    }  # fmt: skip
    told = [
        _from("identity, structural similarity where the picture is seen", LIKE, likes),
        _between("sharpness against the picture so seen", f"{SHARP[0]} to {SHARP[1]}", sharp, SHARP),
    ]
    longest = max((t["seconds"] for _, t in every), default=3600.0)
    for when, after in (("soon", "after 5 min"), ("late", f"after {longest / 60:.3g} min")):
        told += [
            _to(f"luma, contrast, saturation {after}, largest change", BARS[when], changes[when]),
            _paces(every, when, after),
        ]
    return told


def _paces(every: list[tuple[str, dict[str, Any]]], when: str, after: str) -> Bar:
    name, bar = f"speed {after}, largest change (beside what chance does)", f"≤ {BARS[when]}"
    index = {"soon": 1, "late": 2}[when]
    found = [(abs(p[index]), p[index + 2], f"{of}, {part}") for of, t in every for part, p in t["speed"].items()]
    if not found:
        return Bar(name, bar)
    missed = [of for of, t in every if not endless_verdicts(t)[f"speed {when}"]]
    most, waver, of = max(found)
    told = f"{most:.3f} ({of}; chance {waver:.3f})" + (f"; missed by {', '.join(missed)}" if missed else "")
    return Bar(name, bar, told, not missed)


def _most(values: Iterable[float]) -> float:
    return max(abs(v) for v in values)


def _outside(results: Results) -> Bar:
    first = {of: max(t["largest"] for t in some) for of, some in group(results, "outside").items()}
    hours = {f"{of}, endless": max(t["outside"][1] for t in some) for of, some in group(results, "endless").items()}
    return _to("share of a frame from outside the picture", BARS["outside"], first | hours)


def _motion(results: Results) -> list[Bar]:
    bars, every = motion.bars(), [t for some in group(results, "motion").values() for t in some]
    told = {
        "differs by seed": f"correlation of seeds ≤ {bars.correlation}",
        "equally strong": f"spread of strength ≤ {bars.spread}",
        "the noise moves it": f"≤ {bars.silent_strength:.0%} left without noise",
    }
    if not every:
        return [Bar(f"own motion {name}", bar) for name, bar in told.items()]
    met = motion.verdicts(every)
    found = {
        "differs by seed": f"most {max(t['correlation'] for t in every):.2f}",
        "equally strong": f"most {max(t['spread'] for t in every):.2f}",
        "the noise moves it": f"most {max(t['silent_strength'] / max(t['strength'], 1e-6) for t in every):.0%}",
    }
    return [Bar(f"own motion {name}", bar, f"{found[name]} of {len(every)}", met[name]) for name, bar in told.items()]


def _steps(results: Results) -> Bar:
    name, bar = "steps that ship", "beat one, or are one"
    every = [t for some in group(results, "steps").values() for t in some]
    if not every:
        return Bar(name, bar)
    one, more = (mean(t[part] for t in every) for part in ("one_db", "more_db"))
    told = f"{every[0]['shipped']} ships; {one:.2f} dB from the truth with one, {more:.2f} with more"
    return Bar(name, bar, told, motion.steps_earn_their_cost(every))


def _towers(results: Results) -> Bar:
    name, bar = "without text, and without the picture, a figure falls", f"by ≥ {FALLS}"
    found = without_towers(results)
    if not found:
        return Bar(name, bar)
    falls = {tower: max(pair[1] - pair[0] for pair in row if pair) for tower, row in found.items()}
    told = ", ".join(f"{tower} by {fall:.2f}" for tower, fall in falls.items())
    return Bar(name, bar, told, all(falls.get(tower, 0.0) >= FALLS for tower in WHOLE))


def _readings(results: Results, kind: str, name: str, bar: float) -> Bar:
    lists = results.get("text", {}).get(kind, {})
    if not lists:
        return Bar(name, f"≥ {bar:.0%}")
    right, count = (sum(column) for column in zip(*lists.values(), strict=True))
    each = ", ".join(f"{r}/{c}" for r, c in lists.values())
    return Bar(name, f"≥ {bar:.0%}", f"{right}/{count} = {right / count:.1%} (lists: {each})", right / count >= bar)


def _costs(results: Results) -> list[Bar]:
    found = results.get("costs", {})
    told = (
        ("weights", "weights_mb", WEIGHTS_MB, "MB"),
        ("loaded after", "load_s", LOAD_S, "s"),
        ("memory of the model's process, at most", "memory_mb", MEMORY_MB, "MB"),
    )
    return [
        Bar(name, f"≤ {bar} {unit}", f"{found[key]} {unit}", found[key] <= bar)
        if found
        else Bar(name, f"≤ {bar} {unit}")
        for name, key, bar, unit in told
    ]
