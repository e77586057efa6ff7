"""What a stream's model can do, and what a command needs: asked before anything changes."""

from pipeline.geometry import Size, nearest_size
from pipeline.types import Capabilities, Mode, PicturePolicy, Policy
from stream.errors import StreamError
from stream.picture import Picture
from stream.protocol import StreamState


def check_mode(can: Capabilities, mode: Mode) -> None:
    """Raise StreamError ``not_supported`` for a mode that the model lacks."""
    if mode not in can.modes:
        raise StreamError("not_supported", f"This model can't do {mode}; it can {', '.join(can.modes)}.")


def check_policy(can: Capabilities, policy: Policy) -> None:
    """Raise StreamError ``not_supported`` for a way to another prompt that the model lacks."""
    if policy != "auto" and policy not in can.policies:
        known = ", ".join(dict.fromkeys(("auto", *can.policies)))
        raise StreamError("not_supported", f"This model can't {policy}; its policies are {known}.")


def check_entry(can: Capabilities, policy: PicturePolicy) -> None:
    """Raise StreamError ``not_supported`` for a way of a picture into a running video that the model lacks."""
    if policy not in can.picture_policies:
        known = ", ".join(can.picture_policies)
        raise StreamError("not_supported", f"This model can't {policy} to a picture; it can {known}.")


def fitting(can: Capabilities, picture: Picture | None) -> Size:
    """Give the size of the model's that is nearest in shape to a picture; the first for none."""
    return can.sizes[0] if picture is None else nearest_size(picture.width, picture.height, can.sizes)


def require_picture(picture: Picture | None) -> None:
    """Raise StreamError ``no_image`` where there is none."""
    if picture is None:
        raise StreamError("no_image", "Upload a picture first; image-to-video begins from one.")


def require_running(state: StreamState, what: str) -> None:
    """Raise StreamError ``wrong_state`` where a stream has not been started."""
    if state == "idle":
        raise StreamError("wrong_state", f"There is nothing to {what}; start the stream first.")
