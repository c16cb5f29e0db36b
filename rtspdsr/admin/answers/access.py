"""Refusals and logins."""

from typing_extensions import TypedDict

from rtspdsr.admin.answers.shape import answer


@answer
class ErrorAnswer(TypedDict):
    """Why something was refused."""

    error: str
    """what failed, the value at fault, what to do next"""


@answer
class LoggedIn(TypedDict):
    """A login."""

    expires_s: int | None
    """how long it lasts from now on; null where no token is needed"""
