import torch
import torch.nn.functional as F

from pipeline.pocket.border import grained

ROOMS = (60, 40, 60, 40)


def grain(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return 60 + 120 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def around(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture mirrored beyond its edges, and grained over its own mean."""
    left, top, right, bottom = ROOMS
    mirrored = F.pad(picture, (left, right, top, bottom), mode="reflect")
    smooth = picture.mean((2, 3), keepdim=True).expand_as(mirrored)
    return mirrored, grained(smooth, mirrored, ROOMS)


def test_detail_goes_on_as_strong_as_at_the_edge_and_is_no_mirror() -> None:
    """What lies beyond has the edge's contrast, and correlates with no mirror of the picture."""
    mirrored, out = around(grain(160, 320))
    for beyond in ((..., slice(40, 200), slice(0, 30)), (..., slice(0, 15), slice(60, 380))):
        told, mirror = out[beyond].flatten(), mirrored[beyond].flatten()
        assert 0.7 < told.std() / mirror.std() < 1.1
        assert abs(torch.corrcoef(torch.stack([told, mirror]))[0, 1]) < 0.1


def test_a_plain_edge_stays_plain() -> None:
    """Beyond a sky there is nothing to be seen, though the picture is rough elsewhere in the same rows."""
    picture = grain(160, 320)
    picture[..., :90] = 120
    _, out = around(picture)
    assert out[..., 40:200, :50].std() < 3


def test_at_the_edge_it_begins_with_nothing() -> None:
    """There is no step between the picture and what is beyond: detail comes up over pixels, and none is inside."""
    mirrored, out = around(grain(160, 320))
    smooth = mirrored[..., 40:-40, 60:-60].mean((2, 3), keepdim=True)
    inside = (out - smooth)[..., 40:-40, 60:-60].abs()
    assert inside.max() < 1e-3
    assert (out - smooth)[..., 100, 59].abs().max() < 30


def test_a_picture_narrower_than_the_room_beside_it_has_grain_too() -> None:
    """A strip of a picture is no error; there is detail on both sides."""
    mirrored = F.interpolate(grain(100, 40), size=(180, 160))
    out = grained(mirrored.mean((2, 3), keepdim=True).expand_as(mirrored), mirrored, (60, 40, 60, 40))
    assert bool(out.isfinite().all())
    assert out[..., 40:-40, :30].std() > 5
