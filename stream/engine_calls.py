"""How a call gets to a model outside this process and what comes back; pictures go along once, not with each chunk."""

import logging
import traceback
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import pipeline.errors
from pipeline.errors import PipelineError
from pipeline.types import Conditioning, Pixels
from stream.engine_queue import Job
from stream.errors import StreamError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A call. ``picture`` is the shape of the picture that goes with it, or whether the last one sent stands."""

    method: str
    stream_id: str
    arguments: tuple[Any, ...]
    picture: tuple[int, ...] | bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """What a call raised; ``kind`` names its class, ``is_named`` tells a PipelineError from a surprise."""

    kind: str
    message: str
    is_named: bool
    details: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the model's start; comes before the answer to ``warm_up``."""

    text: str


def failure(error: BaseException) -> Failure:
    """Give what a call raised in a form that crosses without its class."""
    details = "".join(traceback.format_exception(error))
    return Failure(type(error).__name__, str(error), isinstance(error, PipelineError), details)


def result(request: Request, answer: Any) -> Any:
    """Give what a call returned, or raise what it raised: a PipelineError as such, else StreamError ``internal``."""
    if not isinstance(answer, Failure):
        return answer
    if answer.is_named:
        raise getattr(pipeline.errors, answer.kind, PipelineError)(answer.message)
    logger.error("stream %s: %s failed\n%s", request.stream_id, request.method, answer.details)
    raise StreamError("internal", f"The model failed: {answer.kind}.")


class SentPictures:
    """Which picture the far side has of each stream."""

    def __init__(self) -> None:
        self._pictures: dict[str, Pixels] = {}

    def split(self, job: Job) -> tuple[Request, Pixels | None]:
        """Take the picture out of a call's conditioning; give it as well when the far side lacks it."""
        if job.method == "close_stream":
            self._pictures.pop(job.stream_id, None)
        conditioning = job.arguments[0] if job.arguments else None
        if not isinstance(conditioning, Conditioning) or conditioning.image is None:
            return Request(job.method, job.stream_id, job.arguments), None
        arguments = (replace(conditioning, image=None), *job.arguments[1:])
        if self._pictures.get(job.stream_id) is conditioning.image:
            return Request(job.method, job.stream_id, arguments, picture=True), None
        self._pictures[job.stream_id] = conditioning.image
        request = Request(job.method, job.stream_id, arguments, conditioning.image.shape)
        return request, np.ascontiguousarray(conditioning.image)

    def clear(self) -> None:
        """The far side has lost them all."""
        self._pictures.clear()


class ReceivedPictures:
    """The picture of each stream, on the far side."""

    def __init__(self) -> None:
        self._pictures: dict[str, Pixels] = {}

    def put_back(self, request: Request, picture: Pixels | None) -> Request:
        """Give the call with the picture in its conditioning that was taken out of it."""
        if request.method == "close_stream":
            self._pictures.pop(request.stream_id, None)
        if request.picture is False:
            return request
        if picture is not None:
            self._pictures[request.stream_id] = picture
        conditioning = replace(request.arguments[0], image=self._pictures[request.stream_id])
        return replace(request, arguments=(conditioning, *request.arguments[1:]))
