"""Which pictures a training of the layers keeps out, and which judge it."""

import pytest

from pipeline.pocket.folds import Fold, judged, kept

MARKED = [True, False, False, True, False, False, False]


def test_folds_judge_every_picture_once_and_none_that_was_trained_on() -> None:
    """Over all folds each unmarked picture judges once, and is kept out of the training that it judges."""
    folds = [Fold(first, 3) for first in range(3)]
    assert [sum(judged(MARKED, fold)[n] for fold in folds) for n in range(7)] == [int(not mark) for mark in MARKED]
    for fold in (None, *folds):
        assert all(out for out, says in zip(kept(MARKED, fold), judged(MARKED, fold), strict=True) if says)
        assert all(out for out, mark in zip(kept(MARKED, fold), MARKED, strict=True) if mark)


@pytest.mark.parametrize("text", ["3/3", "-1/2", "1", "a/b"])
def test_what_is_no_fold_is_refused(text: str) -> None:
    """A first picture beyond the count, and what is no fraction."""
    with pytest.raises(ValueError, match=r"fold|unpack|invalid"):
        Fold.read(text)
