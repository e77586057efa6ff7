"""A device that is not the CPU, on the CPU: what meets a tensor of the other device fails here as it would on a GPU.

Tensors "there" hold what they stand for, and every operation among them is made on the CPU. No test on a machine
without a GPU can see by values that something was left behind on the host; by this one it can.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten
# Between devices, by definition; and CPU indices, which a GPU's tensors take.
MAY_MIX = {aten.copy_, aten._to_copy, aten.index, aten.index_put_, aten.index_put}


class ThereTensor(Tensor):
    """A tensor on the other device."""

    held: Tensor

    @staticmethod
    def __new__(cls: type["ThereTensor"], held: Tensor) -> "ThereTensor":
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=there(),
            requires_grad=False,
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        """Copy to the host; PyTorch has no way to it for subclasses."""
        return self.held.tolist()

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return made_there(func, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Makes what is asked for on the other device."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else every operation goes through PyTorch's compiler to be kept from it, and imports it: 5 s."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return made_there(func, args, kwargs or {})


class Given(TorchFunctionMode):
    """Makes tensors of Python's numbers, which no dispatch sees, by way of the host."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        told = dict(kwargs or {})
        if func is Tensor.new_tensor:
            like, *rest = args
            return torch.tensor(*rest, **{"dtype": like.dtype, **told}).to(like.device)
        if func is not torch.tensor or "device" not in told:
            return func(*args, **told)
        device = told.pop("device")
        return func(*args, **told).to(device)


def made_there(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Make an operation on the device of its tensors. Raises AssertionError where they are of two."""
    given: list[Tensor] = []

    def taken(x: Tensor) -> Tensor:
        given.append(x)
        return _held(x)

    plain, told = _mapped(taken, args), _mapped(taken, kwargs)
    are_there = [isinstance(x, ThereTensor) for x in given]
    strays = [x for x, is_there in zip(given, are_there, strict=True) if not is_there and x.dim() > 0]
    if any(are_there) and strays and func.overloadpacket not in MAY_MIX:
        raise AssertionError(f"{func} of tensors on two devices; on the host: {[tuple(x.shape) for x in strays]}")
    device = told.get("device")
    if device is not None:
        told["device"] = torch.device("cpu")
    is_there = any(are_there) if device is None else torch.device(device).type == there().type
    out = func(*plain, **told)
    if not is_there:
        return out
    if func._schema.is_mutable:
        # What was written to is what was given: the same objects come back.
        same = {id(_held(x)): x for x in given}
        return _mapped(lambda x: same.get(id(x), x), out)
    return _mapped(ThereTensor, out)


@cache
def there() -> torch.device:
    """Name the other device."""
    _setup_privateuseone_for_python_backend("elsewhere")
    return torch.device("elsewhere:0")


@contextmanager
def elsewhere() -> Iterator[torch.device]:
    """Give a device that holds nothing of the host's."""
    device = there()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        # Views of what was made outside of inference mode can't be told apart from the rest in it.
        with patch("torch._C._InferenceMode", lambda mode: torch.no_grad()), Elsewhere(), Given():
            yield device
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def _mapped(change: Callable[[Tensor], Any], x: Any) -> Any:
    """Change all tensors of what an operation takes or gives; PyTorch's own walk takes half of such a test's time."""
    if x is None or type(x) in (int, float, bool):
        return x
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, (tuple, list)):
        return type(x)([_mapped(change, part) for part in x])
    return {name: _mapped(change, part) for name, part in x.items()} if isinstance(x, dict) else x


def _held(x: Tensor) -> Tensor:
    return x.held if isinstance(x, ThereTensor) else x
