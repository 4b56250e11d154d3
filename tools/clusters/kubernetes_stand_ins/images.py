"""Which images can be pulled: all but those whose names say that they cannot."""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why an image cannot be pulled."""

    reason: str
    message: str


def refusal(image: str) -> Refusal | None:
    """None if the image can be pulled; the container then sees this machine's own files instead."""
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
    """The state between two attempts to pull an image."""
    return Refusal("ImagePullBackOff", f"Back-off pulling image {_quoted(image)}")


def _quoted(text: str) -> str:
    """The text in quotes."""
    return f'"{text}"'
