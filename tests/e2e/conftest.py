"""The server that the contract's tests share."""

from collections.abc import Iterator

import pytest

from tests.contract import Server, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server under test, with times short enough to wait for."""
    with serving("stream.upload_timeout_s=1", "stream.director_grace_s=1") as running:
        yield running
