"""Wishes said with "would": "I wish it would rain" asks for rain, where the text encoder hears it as unwanted."""

import re

_HOPE = r"(?:how |oh |well )?(?:i|we) (?:do |really |so |just |only )?wish(?: that)?|if only"
_PRAISE = (
    r"it(?: would|['\u2019]d) be (?:nice|good|great|lovely|beautiful|wonderful) if"
    r"|(?:i|we)['\u2019]d (?:love|like) it if"
)
_WHO = r"(?P<who>(?:(?!would\b)\w+ ){1,5})"
_WHAT = r"(?P<what>(?: (?!and\b|but\b|while\b|then\b)[\w'\u2019]+)+)"
_WOULD = re.compile(rf"\b(?P<wish>{_HOPE}|{_PRAISE}) {_WHO}would{_WHAT}", re.IGNORECASE)
# What says that something is to end, which is heard rightly.
_ENDING = re.compile(
    r"\b(?:not|never|no|nothing|less|stop\w*|end|ends|cease\w*|quit\w*|finish\w*|lift|clear|go (?:away|out)|leave"
    r"|pass|vanish|disappear|dissolve|fade|die|drop|ease|subside|settle|calm|let up|dry|blow over|be (?:gone|over)"
    r"|without)\b|n['\u2019]t\b",
    re.IGNORECASE,
)


def plain_wish(prompt: str) -> str:
    """Say wishes as requests, each word in the place of one, so that what is told of any word is of the same one.

    >>> plain_wish("I wish it would rain"), plain_wish("pan left, if only the leaves would sway")
    ('please let it now rain', 'pan left, please let the leaves now sway')
    >>> plain_wish("I wish it would stop raining"), plain_wish("the camera pans left")
    ('I wish it would stop raining', 'the camera pans left')
    """
    return _WOULD.sub(_said_plainly, prompt)


def _said_plainly(found: re.Match[str]) -> str:
    if _ENDING.search(found["who"] + found["what"]):
        return found[0]
    words = len(found["wish"].split())
    return f"{'now ' * (words - 2)}please let {found['who']}now{found['what']}"
