"""Words for all that is not the subject: "behind her", "in the background"."""

import re

from pipeline.types import Heard

_WHO = r"(?:her|him|them|it|me|us|you|(?:the|a|an|my|his|her|their|our) \w+)"
_BACKGROUND = r"(?:the |a )?(?:background|backdrop)"
_AT = rf"(?:\b(?:right )?behind {_WHO}\b|\b(?:in|into|on|over|across|through|at|to|for|from) {_BACKGROUND}\b)"
_ITSELF = rf"\b{_BACKGROUND}\b"


def read_behind(prompt: str) -> tuple[str, bool]:
    """Whether a prompt asks for something behind the subject alone, and the prompt without the words that say so.

    A place is left out; where the background itself is what changes, "it" stands for it.

    >>> read_behind("fog rolls in behind her, the camera pans left")
    ('fog rolls in, the camera pans left', True)
    >>> read_behind("In the background night falls.")
    ('night falls.', True)
    >>> read_behind("the background gets dark")
    ('it gets dark', True)
    >>> read_behind("the leaves sway in the wind")
    ('the leaves sway in the wind', False)
    """
    text, places = re.subn(rf" ?{_AT}", "", prompt, flags=re.IGNORECASE)
    text, itself = re.subn(_ITSELF, "it", text, flags=re.IGNORECASE)
    if not places and not itself:
        return prompt, False
    return re.sub(r"^[\s,;]+", "", re.sub(r"\s{2,}", " ", text)).rstrip(), True


def heard_behind(heard: Heard, prompt: str) -> Heard:
    """What was understood of a prompt whose words for what is behind were read by themselves.

    >>> heard_behind(Heard(("fog",), ()), "fog rolls in behind her").understood
    ('fog', 'behind the subject')
    >>> heard_behind(Heard((), ("sing",)), "sing behind her").ignored
    ('sing behind her',)
    """
    if not heard.understood:
        return Heard((), (prompt.strip(),))
    return Heard((*heard.understood, "behind the subject"), heard.ignored)
