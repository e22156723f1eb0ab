"""Edits of other programs are noticed as they are made: the kernel tells of writes to maps.

Nothing is asked at intervals, so an idle device sleeps. Every committed edit is a write to the
write-ahead log (sqlite.org/wal.html), or to a rollback journal where a program has asked for one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from device.inotify import FolderWatch
from device.kept_map import KeptMap
from device.log import event
from device.notify import Pulse
from engine import Clock

QUIET_S = 1.0
"""A program writes several times for one edit."""
WORK_SHARE = 20
"""After looking at a map it is left alone for so many times as long as that took."""
RETRY_S = 60.0
_LOGS = (".gpkg-wal", ".gpkg-journal")
_FILES = (*_LOGS, ".gpkg")


class EditWatch:
    """Calls ``look(map)`` for each map that another program wrote to."""

    def __init__(
        self,
        maps: Sequence[KeptMap],
        look: Callable[[KeptMap], Awaitable[None]],
        clock: Clock,
        make: Callable[[], FolderWatch] = FolderWatch,
    ) -> None:
        self._maps: Mapping[Path, KeptMap] = {kept.folder: kept for kept in maps}
        self._look = look
        self._clock = clock
        self._make = make

    async def run(self, pulse: Pulse) -> None:
        """Until cancelled. A folder that is not there, yet or any more, is tried again."""
        with self._make() as watch:
            missing = self._add(watch, self._maps, pulse)
            while True:
                moment = self._clock.monotonic() + RETRY_S if missing else None
                await watch.wait(self._clock, moment)
                await self._clock.sleep(QUIET_S)
                touched = self._touched(watch, missing, _FILES)
                came = set(missing)
                missing = self._add(watch, missing, pulse)
                touched |= came - set(missing)
                if touched:
                    await self._look_at(watch, touched, missing)

    def _add(
        self, watch: FolderWatch, folders: Mapping[Path, KeptMap] | set[Path], pulse: Pulse
    ) -> set[Path]:
        missing, why = set(), ""
        for folder in folders:
            try:
                watch.add(folder)
            except OSError as error:
                missing.add(folder)
                why = f"edits in {folder} are not noticed: {error.strerror}"
        if why != pulse.detail:
            pulse.detail = why
            if why:
                event("watch.degraded", 30, error=why)
        return missing

    async def _look_at(self, watch: FolderWatch, touched: set[Path], missing: set[Path]) -> None:
        """Until nobody wrote while we looked. Our own opening and closing may write to the file
        itself, but never to its log."""
        while touched:
            began = self._clock.monotonic()
            for folder in sorted(touched):
                if not self._maps[folder].is_syncing:  # a run looks when it is over
                    await self._look(self._maps[folder])
            took = self._clock.monotonic() - began
            touched = self._touched(watch, missing, _LOGS)
            if touched:
                await self._clock.sleep(max(QUIET_S, WORK_SHARE * took))

    def _touched(self, watch: FolderWatch, missing: set[Path], names: tuple[str, ...]) -> set[Path]:
        touched = set()
        for folder, name in watch.take():
            if folder is None:
                touched |= set(self._maps) - missing
            elif not name:
                missing.add(folder)
                touched.add(folder)
            elif name.endswith(names):
                touched.add(folder)
        return touched
