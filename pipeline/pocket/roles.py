"""Which part of a prompt does what: asks for something, leaves something out, or asks for what pocket can't do.

While a prompt is put together its parts carry marks (characters for private use); :func:`unmark` takes them out
and gives one role a character instead.
"""

ASKED, LEFT_OUT, BEYOND, JOINING = range(4)
ROLES = 3
_BEGIN = ("\ue000", "\ue001", "\ue002")
_END = "\ue003"


def mark(text: str, role: int) -> str:
    """``text`` as a part with a role; parts do not nest."""
    return f"{_BEGIN[role]}{text}{_END}"


def unmark(text: str) -> tuple[str, tuple[int, ...]]:
    """Plain text, and the role of each of its characters.

    >>> unmark("now " + mark("it rains", ASKED))
    ('now it rains', (3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0))
    """
    plain: list[str] = []
    roles: list[int] = []
    role = JOINING
    for character in text:
        if character in _BEGIN:
            role = _BEGIN.index(character)
        elif character == _END:
            role = JOINING
        else:
            plain.append(character)
            roles.append(role)
    return "".join(plain), tuple(roles)


def word_roles(text: str, roles: tuple[int, ...]) -> list[int]:
    """The role of each word of ``text``, as :meth:`str.split` finds them: that of its first letter or digit.

    >>> word_roles(*unmark(mark("it rains", ASKED) + ", " + mark("a dog", BEYOND)))
    [0, 0, 2, 2]
    """
    found: list[int] = []
    at = 0
    for word in text.split():
        at = text.index(word, at)
        first = next((n for n, letter in enumerate(word) if letter.isalnum()), 0)
        found.append(roles[at + first])
        at += len(word)
    return found
