import json

from hypothesis import given
from hypothesis import strategies as st

from pipeline.travel import MOST, Travel, mixed
from pipeline.types import Conditioning

PROMPTS = st.sampled_from(["snow", "rain", "fog", "night", "wind", "waves"])


def asked(prompt: str, over_s: float) -> Conditioning:
    return Conditioning("t2v", prompt, None, 0, policy="blend", over_s=over_s)


@given(st.lists(st.tuples(PROMPTS, st.floats(0, 3), st.integers(0, 8)), min_size=1))
def test_what_is_said_is_a_whole(changes: list[tuple[str, float, int]]) -> None:
    """However prompts follow one another, the shares of what is said add up to 1, few prompts are said at once, and
    nothing jumps where a change begins."""
    here, latent = Travel("snow"), 0
    for prompt, over_s, latents in changes:
        latent += latents
        before = dict(here.said(latent))
        here = here.to(asked(prompt, over_s), latent, 4.0)
        said = here.said(latent + 0.5)
        assert abs(sum(share for _, share in said) - 1) < 1e-9
        assert all(0 <= share <= 1 for _, share in said)
        assert len(said) <= MOST
        if over_s > 0:
            after = dict(here.said(latent))
            assert all(abs(before.get(text, 0.0) - after.get(text, 0.0)) < 0.2 for text in before | after)
        assert here.said(latent + 13) == ((prompt, 1.0),)


@given(st.floats(0.3, 4), st.integers(0, 40))
def test_a_way_only_goes_on(over_s: float, latent: int) -> None:
    """The new prompt's share grows from nothing to all in the time asked for."""
    way = Travel("snow").to(asked("rain", over_s), latent, 4.0)
    shares = [dict(way.said(latent + step / 2)).get("rain", 0.0) for step in range(40)]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert [share < 1 for share in shares] == [step / 2 < over_s * 4.0 for step in range(40)]


@given(PROMPTS, st.floats(0, 1))
def test_shares_are_told_exactly(prompt: str, share: float) -> None:
    """Through JSON, as streams are saved, they come back to the bit."""
    said = mixed((("snow", 0.7), ("fog", 0.3)), prompt, share)
    assert tuple((text, part) for text, part in json.loads(json.dumps(said))) == said
