"""Every error an operator can meet: what failed, the value at fault, what to do next.

A class exists here where some caller acts differently on it. ``OSError`` and libbpf codes become one
of these at the boundary, with ``raise ... from error``; the command line prints the message alone and
exits with ``exit_code``.
"""

from collections.abc import Sequence


class RtspDsrError(Exception):
    """What an operator reads: what failed, the value at fault, what to do next."""

    exit_code = 1


class UsageError(RtspDsrError):
    """An argument of a command makes no sense."""

    exit_code = 2


class ConfigError(RtspDsrError):
    """The configuration is wrong; the message names every mistake by its key.

    mistakes: one line each; the whole message where there is nothing to divide
    """

    exit_code = 2

    def __init__(self, message: str, mistakes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.mistakes = tuple(mistakes) or (message,)


class DataplaneError(RtspDsrError):
    """The kernel refused something the forwarding core needs."""

    exit_code = 3


class MapFull(DataplaneError):
    """A BPF map holds as many entries as it was made for."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(
            f"map {name!r} is full at {limit} entries; raise dataplane.{name}_max in the config and restart"
        )
        self.name, self.limit = name, limit


class InterfaceGone(DataplaneError):
    """There is no such interface; one that is made anew may come back."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"no interface {', '.join(names)}; name those that stand (ip link) in dataplane.interfaces"
        )


class AlreadyRunning(DataplaneError):
    """Another daemon holds the lock, or another program holds the interface."""


class PreparationError(RtspDsrError):
    """A media server could not be prepared, checked or restored."""

    exit_code = 4


class AdminError(RtspDsrError):
    """The daemon could not be asked, or refused what it was asked."""

    exit_code = 5


class NotFound(AdminError):
    """There is nothing of the name that was asked for."""


class LabError(RtspDsrError):
    """The lab could not be built, or a server or player in it did not do its part."""

    exit_code = 6


class ReviewError(RtspDsrError):
    """A log or capture could not be reviewed, or what was asked of it makes no sense."""

    exit_code = 7
