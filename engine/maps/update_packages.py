"""How a geodatabase gets from its generation to its package's: by update files, or by all of it.

Pure. A map area's package is refreshed on a schedule, and each refresh that finds changes leaves an
update file ``d_<generation>`` beside the package item, named by the generation it leads to. A
client applies those above its own generation in ascending order. It takes the whole package if
the files have been purged that it needs, if one is missing, or if they are larger together.
Source: "Update packages" and "Scheduled updates" of ArcGIS's guide to offline maps.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from engine.geodatabase.package_record import PackageGenerations, PackageRecord
from engine.maps.package_item import PackageItem
from engine.service.portal import ItemResource

_NAME = re.compile(r"d_([0-9]{1,18})\.json", re.IGNORECASE)
"""Update files of the kind that the packages' reader understands: JSON, as its packages."""


class UpdateKind(Enum):
    """What a geodatabase needs to be as its package is."""

    NOTHING = "nothing"
    UPDATE_FILES = "update files"
    WHOLE_PACKAGE = "whole package"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFile:
    """One update file. ``name`` is the portal's; ``size_bytes`` -1 if it does not tell it."""

    name: str
    generation: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePlan:
    """What to download and apply. ``files`` are in the order in which they must be applied.

    ``size_bytes`` is what all of it has together, as far as the portal tells sizes; ``reason`` says
    why it is the whole package, in the words of half a sentence.
    """

    kind: UpdateKind
    files: tuple[UpdateFile, ...] = ()
    size_bytes: int = 0
    reason: str = ""


def plan_updates(
    record: PackageRecord,
    item: PackageItem,
    resources: Sequence[ItemResource],
    *,
    must_be_whole: str = "",
) -> UpdatePlan:
    """The cheapest way from the generations of ``record`` to those of ``item``.

    ``resources`` are all files beside the item. ``must_be_whole``: why nothing less than the whole
    package will do; empty if there is no such reason.
    """
    if must_be_whole:
        return _whole(item, must_be_whole)
    if item.generations.number is None:
        # Of services that tell no generations there are no update files, only newer packages.
        if item.modified == record.modified:
            return UpdatePlan(kind=UpdateKind.NOTHING)
        return _whole(item, "its portal does not say of which generation it is")
    if _same(record.generations, item.generations):
        return UpdatePlan(kind=UpdateKind.NOTHING)
    here, there = _comparable(record.generations, item.generations)
    if here is None or there is None or there < here:
        state = (item.modified, item.size_bytes)
        if item.modified and state == (record.modified, record.size_bytes):
            # The item's file is here already, though it is of another generation than was told.
            return UpdatePlan(kind=UpdateKind.NOTHING)
        is_older = here is not None and there is not None
        return _whole(
            item,
            "it was made anew" if is_older else "the generation of the rows here is not known",
        )
    if item.last_purged_generation is not None and here < item.last_purged_generation:
        return _whole(item, "the update files since the last sync are not kept any more")
    files = update_files(resources, above=here, up_to=there)
    if not files or files[-1].generation != there:
        return _whole(item, "an update file is missing")
    size = sum(max(file.size_bytes, 0) for file in files)
    if size > item.size_bytes >= 0:
        return _whole(item, "it is smaller than the update files")
    return UpdatePlan(kind=UpdateKind.UPDATE_FILES, files=files, size_bytes=size)


def update_files(
    resources: Sequence[ItemResource], *, above: int, up_to: int
) -> tuple[UpdateFile, ...]:
    """The update files that lead from one generation to another, in ascending order.

    One beyond ``up_to`` is of a refresh that has not come to its end.
    """
    found: dict[int, UpdateFile] = {}
    for resource in resources:
        match = _NAME.fullmatch(resource.name)
        if match is not None and above < int(match[1]) <= up_to:
            number = int(match[1])
            found[number] = UpdateFile(
                name=resource.name, generation=number, size_bytes=resource.size
            )
    return tuple(found[number] for number in sorted(found))


def _whole(item: PackageItem, reason: str) -> UpdatePlan:
    return UpdatePlan(
        kind=UpdateKind.WHOLE_PACKAGE, size_bytes=max(item.size_bytes, 0), reason=reason
    )


def _same(here: PackageGenerations, there: PackageGenerations) -> bool:
    """Whether all layers that the package tells of are here as they are there."""
    if there.server is not None:
        return here.server == there.server
    return all(here.layers.get(layer_id) == number for layer_id, number in there.layers.items())


def _comparable(
    here: PackageGenerations, there: PackageGenerations
) -> tuple[int | None, int | None]:
    """The numbers that update files are named by, of both sides: of the same layer, if each layer
    has its own."""
    if there.server is not None:
        return here.server, there.server
    first = next(iter(there.layers), None)
    return (None, None) if first is None else (here.layers.get(first), there.layers[first])
