"""The words that a stream is made under, while one prompt gives way to the next."""

from dataclasses import dataclass

from pipeline.types import Conditioning

Said = tuple[tuple[str, float], ...]
"""Prompts and the share that each has in what is said, together 1: a mixture of mixtures is one too."""
MOST = 4
"""Prompts that a mixture has at most: who changes the prompt in the midst of a change, and again, soon hears no more of
the first."""


def alone(prompt: str) -> Said:
    """Say one thing.

    >>> alone("snow")
    (('snow', 1.0),)
    """
    return ((prompt, 1.0),)


def mixed(before: Said, prompt: str, share: float) -> Said:
    """Give what is said with ``share`` of the way gone from one mixture to a prompt.

    >>> mixed(alone("snow"), "rain", 0.25), mixed(alone("snow"), "rain", 1.0)
    ((('snow', 0.75), ('rain', 0.25)), (('rain', 1.0),))
    >>> mixed((("snow", 0.5), ("rain", 0.5)), "snow", 0.5)
    (('rain', 0.25), ('snow', 0.75))
    """
    if share >= 1:
        return alone(prompt)
    shares = {text: part * (1 - share) for text, part in before}
    shares[prompt] = shares.pop(prompt, 0.0) + share
    kept = sorted(shares, key=lambda text: shares[text])[-MOST:]
    whole = sum(shares[text] for text in kept)
    return tuple((text, part / whole) for text, part in shares.items() if text in kept)


@dataclass(frozen=True, slots=True)
class Travel:
    """How the prompt stands at a boundary; a value, so that going back to a boundary goes back to it.

    ``prompt`` is the one in force, None before there was any. It comes out of ``before``, from the latent ``begins`` on
    and over so many latents.
    """

    prompt: str | None = None
    before: Said = ()
    begins: int = 0
    latents: float = 0.0

    def said(self, latent: float) -> Said:
        """Give what is said at a place in the stream.

        >>> way = Travel("rain", alone("snow"), begins=4, latents=2.0)
        >>> [way.said(latent) for latent in (4.5, 6)]
        [(('snow', 0.75), ('rain', 0.25)), (('rain', 1.0),)]
        """
        assert self.prompt is not None
        if not self.before or self.latents <= 0:
            return alone(self.prompt)
        return mixed(self.before, self.prompt, max(0.0, (latent - self.begins) / self.latents))

    def to(self, asked: Conditioning, latent: int, latents_per_second: float) -> "Travel":
        """Give how it stands once another prompt is asked for: at once, or by the policy ``blend`` little by little."""
        if asked.policy != "blend" or asked.over_s <= 0 or self.prompt is None:
            return Travel(asked.prompt)
        return Travel(asked.prompt, self.said(latent), latent, asked.over_s * latents_per_second)
