"""All offline maps of the configuration: what waits in them, and what the policy is told of it."""

from collections.abc import Collection, Iterator, Sequence

from device.api.appliance import UnknownMapError
from device.kept_map import KeptMap
from device.memory import trim
from device.model import SyncTarget
from device.policy.policy import Policy
from device.wiring import Links


class KeptMaps:
    """The maps in the order of the configuration."""

    def __init__(self, maps: Sequence[KeptMap], policy: Policy, links: Links) -> None:
        self._maps = tuple(maps)
        self._policy = policy
        self._links = links
        self._are_known = False

    def __iter__(self) -> Iterator[KeptMap]:
        return iter(self._maps)

    @property
    def all(self) -> tuple[KeptMap, ...]:
        return self._maps

    def named(self, name: str) -> KeptMap:
        """The map of that name. :exc:`UnknownMapError`."""
        for kept in self._maps:
            if kept.name == name:
                return kept
        known = ", ".join(kept.name for kept in self._maps) or "none"
        raise UnknownMapError(
            f"the configuration has no map {name!r}; it has {known}",
            remedy="Give one of the names in the configuration",
        )

    def names(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Those, or all if none is named. :exc:`UnknownMapError`."""
        return tuple(self.named(name).name for name in wanted) or tuple(k.name for k in self._maps)

    async def look(self, maps: Collection[KeptMap] | None = None) -> None:
        """Count anew what waits in these maps, or in all, and tell the policy."""
        new = [
            SyncTarget(map=kept.name, url=url)
            for kept in (self._maps if maps is None else maps)
            for url in await kept.look()
        ]
        trim()
        self._tell(new)

    def all_looked_at(self) -> None:
        """Each was looked at once; before that, what was not would seem to be gone."""
        self._are_known = True
        self._tell(())

    def _tell(self, new: Collection[SyncTarget]) -> None:
        if not self._are_known:
            return
        self._policy.targets_changed(
            {
                SyncTarget(map=kept.name, url=url): counts.unsent if kept.uploads else 0
                for kept in self._maps
                if kept.is_usable
                for url, counts in kept.counts.services.items()
            },
            new=new,
            broken_maps=[kept.name for kept in self._maps if not kept.is_usable],
        )
        self._links.set_services({url for kept in self._maps for url in kept.counts.services})
