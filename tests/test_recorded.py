"""Recording, as far as a host without a GPU can tell."""

import gc

from pipeline.recorded import uncollected


def test_nothing_is_collected_meanwhile() -> None:
    """A cycle that is dropped stays until afterwards, and the collector is left as it was, on or off."""
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
