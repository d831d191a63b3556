"""The one exception for bad input: what the command line turns into a single line and exit status 2."""


class InputError(ValueError):
    """A file, folder, option or array that cannot be used. The message is one line that names it and the reason."""


def one_line(error: object) -> str:
    """An error, or another line that can hold the name of any file, without line breaks or control characters."""
    return "".join(c if c.isprintable() else "�" for c in str(error))
