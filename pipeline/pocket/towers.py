"""What a pipeline does without one of the networks that see for it: that each of them is of use is seen by its absence.

The towers are ``text``, which reads prompts, and ``sight``, all by which a picture is read: ``picture``, whose tokens
the transformer attends to, and ``layers``, which finds what moves by itself; each of these is tried alone too. Taken
out are a tower's outputs: what is left are those of silence, of a picture that is even grey, and of a network that is
not there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.causal import CausalPipeline
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.labels import label
from pipeline.pocket.layers import with_layers
from pipeline.pocket.network import Text
from pipeline.pocket.sight import Eye, Subject
from pipeline.pocket.view import View
from pipeline.types import Heard

TOWERS = ("text", "sight", "picture", "layers")
# Those that a bar holds: no text, no picture. The two parts of sight stand in for each other, so they are only told.
WHOLE = TOWERS[:2]


class Blind(Eye):
    """Sees nothing of a picture but its layers, if it finds them, which stay with the decoder."""

    def _picture(self, canvas: Canvas) -> Tensor:
        return super()._picture(canvas).zero_()


class Told(Eye):
    """Is told by the hand-drawn labels where things are in a picture, in place of finding them."""

    picture = ""

    def _canvas(self, subject: Subject, view: View) -> Canvas:
        assert not isinstance(subject, tuple)
        masks = torch.from_numpy(label(self.picture).masks)[None]
        shares = torch.cat([1 - masks.sum(1, keepdim=True), masks], 1).clamp(0, 1)
        canvas = prepare(subject, view.width, view.height, self._device)
        return with_layers(canvas, F.adaptive_avg_pool2d(shares, (view.height // 2, view.width // 2)).to(self._device))


class Towers:
    """The towers of a pipeline."""

    def __init__(self, pipeline: CausalPipeline) -> None:
        self._pipeline, self._eye, self._text = pipeline, pipeline._eye, pipeline._text
        self._silence = pipeline._network.silence(1)
        eye, given = pipeline._eye, (pipeline._network, self._silence)
        self._eyes = {
            "sight": Blind(*given, None, eye._parallax),
            "picture": Blind(*given, eye._finder, eye._parallax),
            "layers": Eye(*given, None, eye._parallax),
        }
        self._told = Told(*given, None, eye._parallax)

    def all_but(self, tower: str) -> None:
        """Leave all towers in place but one; ``""`` leaves all."""
        assert tower in ("", *TOWERS)
        self._pipeline._eye = self._eyes.get(tower, self._eye)
        self._pipeline._text = self._said_nothing if tower == "text" else self._text

    def tell(self, picture: str) -> None:
        """Have a labelled picture's labels for its layers, until :meth:`all_but` is called: as well as can be seen."""
        self._told.picture = picture
        self._pipeline._eye = self._told

    def _said_nothing(self, prompt: str) -> tuple[Text, Heard]:
        return self._silence, Heard((), ())
