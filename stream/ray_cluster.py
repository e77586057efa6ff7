"""The Ray cluster that replicas run on: one of this machine alone, or one that is there already."""

import logging
import os
import secrets
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline.errors import ConfigError
from stream.errors import StreamError

logger = logging.getLogger(__name__)

_OBJECT_STORE_BYTES = 512 * 2**20
_ALONE = {
    # Ray's own switch for laptops, whatever the system: every port on 127.0.0.1 instead of on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
}


class RayCluster:
    """A connection to Ray, made and ended in one thread.

    With an empty ``address`` a cluster is started that listens on loopback alone, under a token of its own, and ends
    with this process; its files lie in a temporary folder. An ``address`` (HOST:PORT, or ``auto`` for the one of this
    machine) joins what ``ray start`` made. Where this process is connected already, that connection is used and left.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._is_ours = False
        # Ray's processes end when the thread that started them does (PR_SET_PDEATHSIG), so it lives as long as they.
        self.thread = ThreadPoolExecutor(1, "ray")

    def connect(self) -> None:
        """Connect; blocking, for :attr:`thread`. Raises ConfigError without Ray, StreamError where there is none."""
        if "ray" in sys.modules and import_ray().is_initialized():
            return
        self._is_ours = True
        try:
            if self._address:
                import_ray().init(address=self._address, logging_level=logging.ERROR)
            else:
                self._start_alone()
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"the Ray cluster at {self._address} can't be joined" if self._address else "Ray can't be started"
            why = str(error).strip().partition("\n")[0]
            raise StreamError("internal", f"{where}: {why}") from error

    def _start_alone(self) -> None:
        # Before Ray is imported, which is when it reads them.
        os.environ.update(_ALONE)
        # One for all clusters of this process, which Ray remembers.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(24))
        ray = import_ray()
        # Short: the paths of Ray's sockets below it must fit into 107 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="vivant-ray-", dir="/tmp", ignore_cleanup_errors=True)
        ray.init(
            _temp_dir=self._folder.name,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            logging_level=logging.ERROR,
        )
        hosts = {node["NodeManagerAddress"] for node in ray.nodes()}
        if hosts != {"127.0.0.1"}:
            self.disconnect()
            raise StreamError("internal", f"Ray can't be started: it listens on {hosts} instead of loopback.")

    def disconnect(self) -> None:
        """End what :meth:`connect` began; blocking, for :attr:`thread`. Idempotent."""
        if self._is_ours:
            self._is_ours = False
            import_ray().shutdown()
        if self._folder is not None:
            self._folder.cleanup()


def import_ray() -> Any:
    """Import Ray, which takes a second. Raises ConfigError that says how to install it."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError("engine.kind=ray needs Ray, which is not installed: pip install 'vivant[ray]'") from error
    return ray
