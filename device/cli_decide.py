"""What ``conflicts`` and ``quarantine`` have in common: which geodatabases, which layer."""

from argparse import Namespace

from device.cli_errors import UsageError
from engine import Geodatabase, OfflineMap


def chosen(options: Namespace, map_: OfflineMap, *, is_decision: bool) -> list[Geodatabase]:
    """The geodatabases that the options mean. Numbers are those of one file, so that a decision
    needs it named if there are several: :exc:`UsageError`."""
    found = [g for g in map_.geodatabases if options.file in (None, g.path.name, g.path.stem)]
    names = ", ".join(g.path.name for g in map_.geodatabases)
    if not found:
        raise UsageError(f"the map has no geodatabase {options.file}", remedy=f"It has {names}")
    if is_decision and len(found) > 1:
        raise UsageError(
            "the map has several geodatabases, and each has numbers of its own",
            remedy=f"Add --file with one of {names}",
        )
    return found


def layer_name(geodatabase: Geodatabase, number: int) -> str:
    """The layer of a table's number; attachments are said to be photos of it."""
    name = geodatabase.table(number // 2).name
    return f"{name} (photo)" if number % 2 else name
