"""How PyTorch's compiler is to lay out rows; imported by name, for it keeps what it compiled by its settings' names."""

from typing import Any

from torch._inductor.choices import InductorChoices
from torch._inductor.runtime.hints import ReductionHint

LONGEST_ROW = 2048


class WholeRows(InductorChoices):
    """Holds a row of a norm, to 2,048 numbers, in registers instead of reading it twice.

    By itself the compiler does so to 1,024; rows here have 1,536: 8 of 191 ms for four passes on an H200.
    """

    @staticmethod
    def should_use_persistent_reduction(features: Any, cooperative_reduction: bool) -> bool:
        """Whether a reduction has its whole row at once."""
        is_row = features.get_reduction_hint() == ReductionHint.INNER and not cooperative_reduction
        length = str(features.reduction_numel)
        if is_row and length.isdigit() and int(length) <= LONGEST_ROW:
            return True
        return InductorChoices.should_use_persistent_reduction(features, cooperative_reduction)

    def uuid(self) -> str:
        """Name these choices, for the compiler's cache."""
        return f"vivant-rows-{LONGEST_ROW}"
