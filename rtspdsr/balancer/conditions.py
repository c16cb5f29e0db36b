"""How each backend was when the daemon last knew, kept over a restart: down, or coming back by a slow start.

A daemon that starts knows nothing of its backends, and would send clients to a dead one until checks have
failed. So it keeps out what was out, until checks let it in; unless that is all that the operator has left
in a service, for then the record may be wrong and somebody has to serve. It decides nothing else.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.placing import Placing
from rtspdsr.balancer.statefile import StateFile
from rtspdsr.core.health import Health
from rtspdsr.errors import RtspDsrError
from rtspdsr.model import AdminState, Backend, Service

FILE = "conditions.json"
LOOK_S = 1.0
RETRY_S = 60.0  # after it could not be written

Record = Mapping[str, Any]


class Conditions:
    """The file in a directory, and the parts whose knowledge it keeps.

    failed: is told if it cannot be written or read: the next daemon will know less
    """

    def __init__(
        self,
        directory: Path,
        fleet: Fleet,
        health: Health,
        placing: Placing,
        failed: Callable[[Exception], None],
    ) -> None:
        self._file = StateFile(directory / FILE)
        self._fleet, self._health, self._placing, self._failed = fleet, health, placing, failed
        self._kept: dict[str, Record] | None = None

    def recall(self) -> None:
        """Go on with what an earlier daemon knew of the backends that are configured."""
        try:
            kept = self._file.load()
            for service in self._fleet.services:
                self._recall(service, kept)
            self._kept = kept
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._failed(
                RtspDsrError(
                    f"cannot read {self._file.path} ({error}), which says which backends were down; "
                    "each counts as up until its checks fail"
                )
            )

    def _recall(self, service: Service, kept: Mapping[str, Record]) -> None:
        now, ahead = time.monotonic(), time.monotonic() - time.time()
        known = {one: kept[name] for name, one in _named(service) if name in kept}
        down = {one: record for one, record in known.items() if "down_at" in record}
        ready = [one for one in service.backends if self._fleet.admin_state(one) is AdminState.READY]
        someone_serves = any(one not in down for one in ready)
        for one, record in known.items():
            if one not in down:
                self._placing.recall(service, one, min(now, float(record["back_at"]) + ahead))
            elif someone_serves:
                problems = {str(check): str(problem) for check, problem in record["problems"].items()}
                self._health.recall(one.backend_id, problems, min(now, float(record["down_at"]) + ahead), now)
                self._fleet.mark(one.backend_id, down=self._health.is_down(one.backend_id))

    async def run(self) -> None:
        """Write down what changes, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                present = self._present()
                if present != self._kept:
                    await asyncio.to_thread(self._file.save, present)
                    self._kept = present
            except Exception as error:  # noqa: BLE001 - written again in a while
                self._failed(error)
                await asyncio.sleep(RETRY_S)

    def _present(self) -> dict[str, Record]:
        now, ahead = time.monotonic(), time.time() - time.monotonic()
        found: dict[str, Record] = {}
        for service in self._fleet.services:
            for name, one in _named(service):
                if (fallen := self._health.fallen(one.backend_id)) is not None:
                    since, problems = fallen
                    found[name] = {"down_at": round(since + ahead), "problems": problems}
                elif (back_at := self._placing.back_at(one, now)) is not None:
                    found[name] = {"back_at": round(back_at + ahead)}
        return found


def _named(service: Service) -> Iterator[tuple[str, Backend]]:
    return ((f"{service.name}/{one.name}", one) for one in service.backends)
