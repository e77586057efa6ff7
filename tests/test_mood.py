import pytest

from pipeline.pocket.mood import is_mood


@pytest.mark.parametrize("prompt", ["a quiet moment", "Silence...", "a calm, peaceful evening", "such a serene mood"])
def test_a_mood_asks_for_no_motion(prompt: str) -> None:
    """Words that tell of calm alone are a mood, whatever their case and marks."""
    assert is_mood(prompt)


@pytest.mark.parametrize(
    "prompt",
    ["hold still", "the camera stays calm and still", "keep it quiet", "a moment", "in the evening", "quiet waves", ""],
)
def test_what_says_more_is_no_mood(prompt: str) -> None:
    """A camera, a command, a thing, or no word of calm at all is for the text encoder to read."""
    assert not is_mood(prompt)
