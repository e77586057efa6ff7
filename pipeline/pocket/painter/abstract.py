"""Light for its own sake: veils of colour, bent over and over, and soft discs before them."""

import torch

from pipeline.pocket.layers import REST, SKY
from pipeline.pocket.painter.light import RGB, mix, plain, tint
from pipeline.pocket.painter.noise import Noise, sampled, smoothstep
from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.painter.sheet import Sheet


def paint_abstract(sheet: Sheet, scenery: Scenery, seed: int) -> None:
    """Fill the sheet with light of the scene's colour; without one with the seed's."""
    noise = Noise(seed, "abstract")
    names = ("red", "gold", "teal", "blue", "purple", "pink")
    own = tint(scenery.colour or names[int(noise.chance.integers(len(names)))])
    side = tint(names[int(noise.chance.integers(len(names)))])
    paints: tuple[RGB, ...] = (
        mix(own, (0.01, 0.01, 0.05), 0.90), mix(own, (0.02, 0.02, 0.10), 0.45), mix(own, side, 0.22),
        mix(own, (1.0, 1.0, 1.0), 0.55),
    )  # fmt: skip
    one, two = noise.texture(5, 0.42, first=2), noise.texture(5, 0.42, first=2)
    u, v = sheet.x / 1500, sheet.y / 1500
    bend_u, bend_v = sampled(one, u, v) - 0.5, sampled(two, u + 0.3, v + 0.6) - 0.5
    again = sampled(two, u + 0.55 * bend_u, v + 0.55 * bend_v)
    folds = sampled(one, u * 0.7 + 0.6 * again, v * 0.7 + 0.5 * bend_u)
    turn = noise.between(-0.6, 0.6)
    veil = torch.sin(folds * 9.0 + (sheet.x * turn + sheet.y) / 210 + 3.0 * again) * 0.5 + 0.5
    bright = (0.50 * veil + 0.75 * (again - 0.2) + 0.2 * (folds - 0.5)).clamp(0, 1)
    colour = torch.lerp(plain(paints[0]), plain(paints[1]), smoothstep(0.0, 0.45, bright))
    colour = torch.lerp(colour, plain(paints[2]), smoothstep(0.35, 0.75, bright))
    sheet.picture = torch.lerp(colour, plain(paints[3]), smoothstep(0.72, 1.08, bright) * 0.85)
    _discs(sheet, noise, (paints[2], paints[3]))
    sheet.shares[SKY], sheet.shares[REST] = 0.0, 1.0
    sheet.sky = sheet.picture


def _discs(sheet: Sheet, noise: Noise, paints: tuple[RGB, RGB]) -> None:
    chance, (rows, columns) = noise.chance, sheet.size
    scale, room = sheet.view.scale, sheet.view.room
    for _ in range(34):
        x, y = chance.uniform(-120, sheet.width + 120), chance.uniform(-70, sheet.height + 70)
        size, share = 5 + 46 * chance.random() ** 2.2, chance.random()
        top, left = (int((p - size - 2) * scale) + r for p, r in ((y, room[0]), (x, room[1])))
        bottom, right = (int((p + size + 2) * scale) + r for p, r in ((y, room[0]), (x, room[1])))
        part = slice(max(0, top), min(rows, bottom)), slice(max(0, left), min(columns, right))
        away = ((sheet.x[:, part[1]] - x) ** 2 + (sheet.y[part[0]] - y) ** 2).sqrt() / size
        soft = 0.35 + 0.6 * chance.random()
        amount = smoothstep(1.0, 1.0 - soft, away) * (0.10 + 0.30 * chance.random())
        light = plain(mix(*paints, share)) * amount
        sheet.picture[:, *part] = 1 - (1 - sheet.picture[:, *part]) * (1 - light.clamp(0, 1))
