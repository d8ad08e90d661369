"""The one exception that the console shows without a traceback."""


class LocalError(Exception):
    """What stops the local runtime, told in one line a newcomer can act on."""
