"""Words that tell of a mood, not of a camera: "a quiet moment" asks for no motion, which is not to ask for none."""

from pipeline.pocket.tokens import tokens

# A prompt of these words alone names a mood. The text encoder was taught that what is calm stands still.
_MOODS = frozenset({
    "calm", "calmness", "quiet", "quietness", "silence", "silent", "stillness", "peace", "peaceful", "serene",
    "serenity", "tranquil", "tranquility", "hush", "hushed", "idyll", "idyllic", "solitude", "meditative", "dreamy",
})  # fmt: skip
_BESIDE = frozenset({
    "a", "an", "the", "of", "in", "and", "my", "our", "this", "that", "such", "so", "very", "moment", "moments",
    "evening", "morning", "afternoon", "day", "time", "hour", "scene", "place", "picture", "photo", "image", "mood",
    "atmosphere", "feeling", "world", "here",
})  # fmt: skip


def is_mood(prompt: str) -> bool:
    """Tell whether a prompt names a mood and nothing else.

    >>> is_mood("A quiet moment."), is_mood("silence"), is_mood("keep quiet"), is_mood("the night"), is_mood("")
    (True, True, False, False, False)
    """
    words = [prompt[token.begin : token.end].lower() for token in tokens(prompt)]
    named = [word for word in words if word[0].isalnum()]
    return any(word in _MOODS for word in named) and all(word in _MOODS | _BESIDE for word in named)
