"""Checkpoints into networks: every key accounted for, or one error that says what does not fit."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.checkpoint import Checkpoint, opened, plain_names
from pipeline.checkpoint_kinds import explain
from pipeline.errors import WeightsError

NAMES_TOLD = 3
"""Names of each fault that an error tells, of all that it counts."""


@dataclass(slots=True)
class Slot:
    """A tensor of a network and the places that hold it: more than one where weights are tied."""

    tensor: Tensor
    places: list[tuple[nn.Module, str]] = field(default_factory=list)

    def fill(self, value: Tensor) -> None:
        """Put ``value`` in every place."""
        if isinstance(self.tensor, nn.Parameter):
            value = nn.Parameter(value, requires_grad=self.tensor.requires_grad)
        for module, name in self.places:
            setattr(module, name, value)


def load(
    network: nn.Module,
    source: Path | Checkpoint,
    dtype: torch.dtype,
    device: torch.device | None = None,
    key_map: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
) -> None:
    """Fill a network from a checkpoint, tensor by tensor; floating-point values are cast, integers kept.

    Nothing is changed before everything is known to fit. No second copy is made: on the way a tensor takes the
    place of the one that was there, so a network built under ``torch.device("meta")`` costs nothing before. Where
    neither dtype nor device differ from those of a file that is mapped into memory, its pages are the weights.

    Args:
        network: the network, on any device or on meta.
        source: what :func:`pipeline.checkpoint.open_checkpoint` takes or gives.
        dtype: what floating-point values are cast to.
        device: where the network goes; None keeps it where it is, and puts one on meta into host memory.
        key_map: the network's key for each key of the checkpoint; None where they are the same.
        ignore: beginnings of the checkpoint's keys that are left out.

    Raises:
        WeightsError: the checkpoint cannot be read, or does not fit; it names keys and, where known, the cause.
        ValueError: a buffer that no checkpoint holds is on meta.
    """
    checkpoint = opened(source).without(ignore)
    slots = _slots(network)
    if lost := [name for name, buffer in network.named_buffers() if buffer.is_meta and name not in slots]:
        raise ValueError(f"no checkpoint holds {lost[0]}: it must not be built on meta")
    wanted = _wanted(slots, key_map, checkpoint.entries.keys())
    _check(checkpoint, wanted)
    for name, entry in checkpoint.entries.items():
        slot = wanted[name]
        home = device or (torch.device("cpu") if slot.tensor.is_meta else slot.tensor.device)
        # In one expression, so that no name holds what was read while the next tensor is.
        slot.fill(entry.read().to(home, dtype if entry.dtype.is_floating_point else entry.dtype))
    network.to(device=device, dtype=dtype)


def _slots(network: nn.Module) -> dict[str, Slot]:
    """Give the tensors that a checkpoint of the network holds, by name; tied names share a slot."""
    modules = dict(network.named_modules(remove_duplicate=False))
    by_identity: dict[int, Slot] = {}
    slots: dict[str, Slot] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        slots[name] = by_identity.setdefault(id(tensor), Slot(tensor))
        owner, _, leaf = name.rpartition(".")
        slots[name].places.append((modules[owner], leaf))
    return slots


def _wanted(slots: Mapping[str, Slot], key_map: Mapping[str, str] | None, stored: Set[str]) -> dict[str, Slot]:
    """Give the slots by the names that a checkpoint has for them: as they are, or plain, whichever it holds more of."""
    ours = {name: name for name in slots} if key_map is None else key_map
    plain = plain_names(ours)
    names = max(plain, {name: name for name in ours}, key=lambda known: len(stored & set(known.values())))
    wanted = {names[name]: slots[place] for name, place in ours.items()}
    filled = {id(slot) for slot in wanted.values()}
    return wanted | {name: slot for name, slot in slots.items() if id(slot) not in filled}


def _check(checkpoint: Checkpoint, wanted: Mapping[str, Slot]) -> None:
    stored = checkpoint.entries
    filled = {id(wanted[name]) for name in stored if name in wanted}
    both = [name for name in wanted if name in stored]
    shapes = {name: tuple(slot.tensor.shape) for name, slot in wanted.items()}
    faults = {
        "missing": sorted(name for name, slot in wanted.items() if id(slot) not in filled),
        "unknown": sorted(stored.keys() - wanted.keys()),
        "of another shape": sorted(
            f"{name} {list(stored[name].shape)} for {list(shapes[name])}"
            for name in both
            if stored[name].shape != shapes[name]
        ),
        "of another kind": sorted(
            f"{name} {stored[name].dtype} for {wanted[name].tensor.dtype}"
            for name in both
            if stored[name].dtype.is_floating_point != wanted[name].tensor.dtype.is_floating_point
        ),
    }
    if any(faults.values()):
        told = "; ".join(f"{len(names)} {what}, as {_first(names)}" for what, names in faults.items() if names)
        cause = explain({name: entry.shape for name, entry in stored.items()}, shapes)
        raise WeightsError(
            f"{checkpoint.path} is not a checkpoint of this network: {told}"
            + (f". Most likely {cause}" if cause else "")
        )


def _first(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:NAMES_TOLD])
