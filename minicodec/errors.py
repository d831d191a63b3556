"""The one exception for bad input: what the command line turns into a single line and exit status 2."""

from typing import Any


class InputError(ValueError):
    """A file, folder, option or array that cannot be used. The message is one line that names it and the reason."""


def brief(value: Any, most: int = 40) -> str:
    """What somebody else has written, in a message: one line of bounded length."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of many digits"
    text = " ".join(str(value).split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= most else text[:most] + "…"
