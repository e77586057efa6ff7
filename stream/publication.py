"""One stream published elsewhere: begun once, and begun again when it breaks, until it is ended."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

from stream.destination import Destination
from stream.errors import StreamError
from stream.live import LiveStream

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


class Attempt(Protocol):
    """One connection to a far end; made for one try, and not used again."""

    async def begin(self) -> None:
        """Reach the far end. Raises StreamError."""
        ...

    async def run(self, live: Callable[[], None]) -> str:
        """Send until it breaks; gives the reason. ``live`` is called when the far end takes what is sent."""
        ...

    async def end(self) -> None:
        """Free everything; idempotent."""
        ...


class Publication:
    """Publishes a stream to one destination; a :class:`stream.guests.Guest` of it.

    Who watches there is counted as one viewer, so that the stream lives on while it is shown.
    """

    def __init__(
        self,
        live: LiveStream,
        destination: Destination,
        attempt: Callable[[], Attempt],
        on_closed: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._live = live
        self._destination = destination
        self._make_attempt = attempt
        self._on_closed = on_closed
        self._sleep = sleep
        self._state: Literal["connecting", "live", "retrying"] = "connecting"
        self._error: StreamError | None = None
        self._leave: Callable[[], None] | None = None
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._dismissed = False
        self._failures = 0
        """Since it was last on air."""

    async def begin(self) -> None:
        """Reach the far end for the first time, then go on by itself.

        Raises StreamError: ``wrong_state`` while the stream is published already or when it ends meanwhile, or what
        kept it from the far end; nothing is left of it then.
        """
        self._live.guests.add_publication(self)
        self._task = asyncio.create_task(self._run(), name=f"publish-{self._live.id}")
        await self._begun
        logger.info("stream %s: published to %s", self._live.id, self._destination)

    def describe(self) -> dict[str, Any]:
        """Give ``{"to", "state", "status", "error"}``; the last two are those of the last failure, or None."""
        error = self._error
        status = None if error is None else error.extra.get("status")
        words = None if error is None else error.message
        return {"to": str(self._destination), "state": self._state, "status": status, "error": words}

    def dismiss(self) -> None:
        """End it, for the stream has ended; returns at once."""
        # Once: a second time would cut off the farewell to the far end.
        if self._task is not None and not self._dismissed:
            self._dismissed = True
            self._task.cancel()

    async def close(self) -> None:
        """End it, at the far end too; idempotent; waits until it is done."""
        self.dismiss()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._publish(await self._first_attempt())
        finally:
            self._stop_counting()
            self._live.guests.remove(self)
            self._on_closed()
            if not self._begun.done():
                self._begun.set_exception(StreamError("wrong_state", "It was ended before the far end answered."))
            logger.info("stream %s: not published any more", self._live.id)

    async def _first_attempt(self) -> Attempt | None:
        try:
            attempt = await self._begin_once()
        except StreamError as error:
            self._begun.set_exception(error)
            return None
        self._begun.set_result(None)
        return attempt

    async def _begin_once(self) -> Attempt:
        attempt, begun = self._make_attempt(), False
        try:
            await attempt.begin()
            begun = True
            return attempt
        finally:
            if not begun:
                await attempt.end()

    async def _publish(self, attempt: Attempt | None) -> None:
        while attempt is not None:
            try:
                reason = await attempt.run(self._is_live)
            finally:
                await attempt.end()
            self._failures = 1 if self._leave is not None else self._failures + 1
            self._is_off(reason)
            attempt = await self._begin_again()

    async def _begin_again(self) -> Attempt:
        while True:
            # Spread, so that all the streams of a far end that comes back do not come back in one moment.
            longest = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** (self._failures - 1))
            await self._sleep(longest * random.uniform(0.5, 1.0))
            try:
                return await self._begin_once()
            except StreamError as error:
                self._failures += 1
                self._tell("retrying", error)

    def _is_live(self) -> None:
        self._leave = self._live.add_viewer()
        self._tell("live", None)

    def _is_off(self, reason: str) -> None:
        self._stop_counting()
        logger.info("stream %s: lost %s, %s", self._live.id, self._destination, reason)
        self._tell("retrying", StreamError("bad_gateway", f"The connection was lost: {reason}."))

    def _stop_counting(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def _tell(self, state: Literal["connecting", "live", "retrying"], error: StreamError | None) -> None:
        self._state, self._error = state, error
        self._live.guests.changed()
