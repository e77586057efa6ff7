"""The server that the contract's tests share."""

from collections.abc import Iterator

import pytest

from tests.contract import Server, serving

# Programs of other Pythons, which have what this one lacks.
collect_ignore = ["clients"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server under test, with times short enough to wait for.

    A lost packet at the end of a burst costs aiortc's SCTP a second: the time without a byte is more than that.
    """
    recordings = f"stream.recordings={tmp_path_factory.mktemp('recordings')}"
    with serving("stream.upload_timeout_s=2", "stream.director_grace_s=1", recordings) as running:
        yield running
