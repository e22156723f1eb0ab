"""When the maps are looked at: all after the start; one that cannot be read again and again.

The kernel tells of most that changes in a map (:mod:`device.edit_watch`), but not that a file may
be read again, that a disk has come back, or that another program let go of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from device.kept_map import KeptMap
from device.log import event
from device.notify import ServiceManager
from device.waiting import until_set
from engine import Clock

AGAIN_S = 300.0
"""A map that cannot be read is looked at so often; when a person asks for a sync, at once."""
LOOK_LIMIT_S = 120.0


class MapLooks:
    """Looks at the maps by ``look``, which never raises for what is wrong with a map; ``began`` is
    called when all have been looked at once. Where nobody is told of edits as they are made, all
    are looked at now and then."""

    def __init__(
        self,
        maps: Sequence[KeptMap],
        *,
        clock: Clock,
        manager: ServiceManager,
        look: Callable[[KeptMap], Awaitable[None]],
        began: Callable[[], None],
        is_told_of_edits: bool = True,
    ) -> None:
        self._maps = maps
        self._clock = clock
        self._manager = manager
        self._look = look
        self._began = began
        self._is_told = is_told_of_edits
        self._doubt = asyncio.Event()
        self._hurry = asyncio.Event()
        self.is_hurried = False
        """Somebody waits for a look that is not over."""

    def counted(self) -> None:
        """What is known of the maps may be another."""
        if any(self._is_doubtful(kept) for kept in self._maps):
            self._doubt.set()
        else:
            self._doubt.clear()

    def hurry(self) -> None:
        """Somebody wants a sync: look now at what could not be read."""
        if self._doubt.is_set():
            self.is_hurried = True
            self._hurry.set()

    async def run(self, *, was_clean: bool, check_s: float) -> None:
        """Until cancelled. After an unclean stop the maps are checked for damage first."""
        for kept in self._maps:
            if not was_clean:
                self._manager.extend_timeout(check_s + LOOK_LIMIT_S)
                is_sound = await kept.check(check_s)
                event("map.checked", map=kept.name, is_sound=is_sound)
            await self._look(kept)
        self._began()
        while True:
            await self._doubt.wait()
            await until_set(self._hurry, self._clock, self._clock.monotonic() + AGAIN_S)
            self._hurry.clear()
            for kept in self._maps:
                if self._is_doubtful(kept) and not kept.is_syncing:
                    await self._look(kept)
            self.is_hurried = self._hurry.is_set()

    def _is_doubtful(self, kept: KeptMap) -> bool:
        return kept.is_in_doubt or not self._is_told
