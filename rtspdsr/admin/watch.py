"""What an operator watches a daemon by: its figures, whether it is well, and live news."""

from typing import Protocol

from aiohttp import web

from rtspdsr.admin.answers import LivenessAnswer, ReadinessAnswer
from rtspdsr.admin.feed import Feed
from rtspdsr.admin.figures import Figures


class Watch(Protocol):
    """The daemon, to those who watch it."""

    @property
    def feed(self) -> Feed:
        """Live news of what happens."""

    async def figures(self) -> Figures:
        """What the daemon counts."""

    def liveness(self) -> LivenessAnswer:
        """Whether it does its work."""

    def readiness(self) -> ReadinessAnswer:
        """Whether clients are served."""


WATCH = web.AppKey("watch", Watch)
