"""The one exception for bad input: what the command line turns into a single line and exit status 2."""


class InputError(ValueError):
    """A file, folder, option or array that cannot be used. The message is one line that names it and the reason."""
