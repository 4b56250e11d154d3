"""Which images there are: all, but those whose names say otherwise."""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why there is no image."""

    reason: str
    message: str


def refusal(image: str) -> Refusal | None:
    """None where the image can be pulled; it is then this host's own file system."""
    if any(one.isspace() for one in image):
        text = f"couldn't parse image reference {_quoted(image)}: invalid reference format"
        return Refusal(
            "InvalidImageName", f"Failed to apply default image tag {_quoted(image)}: {text}"
        )
    if "missing" in image:
        text = f"failed to pull and unpack image {_quoted(image)}: not found"
        return Refusal("ErrImagePull", f"rpc error: code = NotFound desc = {text}")
    return None


def back_off(image: str) -> Refusal:
    """What is said between two tries."""
    return Refusal("ImagePullBackOff", f"Back-off pulling image {_quoted(image)}")


def _quoted(text: str) -> str:
    """In quotes."""
    return f'"{text}"'
