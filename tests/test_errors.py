"""Refusals keep what they carry."""

import pickle

import pytest

from stream.errors import CODES, StreamError


def test_error_crosses_a_process_border() -> None:
    """A pickled error has the same code, sentence and extras."""
    error = pickle.loads(pickle.dumps(StreamError("at_capacity", "Try again soon.", ahead=2)))
    assert (error.code, error.message, error.extra) == ("at_capacity", "Try again soon.", {"ahead": 2})
    assert (error.status, error.retryable, str(error)) == (503, True, "at_capacity: Try again soon.")


def test_unknown_code_is_a_mistake_of_ours() -> None:
    """A code that the contract lacks can't be raised."""
    with pytest.raises(KeyError):
        StreamError("teapot", "Short and stout.")


@pytest.mark.parametrize("code", sorted(CODES))
def test_only_internal_and_capacity_are_the_servers_fault(code: str) -> None:
    """Bad input never gets a 5xx: those say what the server lacks, or that it failed."""
    ours = {"internal", "not_supported", "bad_gateway", "at_capacity"}
    assert (StreamError(code, "A sentence.").status >= 500) == (code in ours)
