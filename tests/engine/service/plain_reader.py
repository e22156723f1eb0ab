"""The oracle for reading replica and delta files: plain Python, one feature at a time.

The file is JSON as ``createReplica`` and ``synchronizeReplica`` make it (ArcGIS REST API, "Create
replica", "Synchronize replica", "Sync and attachments"). It is read twice: :func:`scan` walks it to
the end and gives its header, so that a cut-off file is refused before anything is applied;
:func:`read_rows` then gives features in file order. Members may come in any order.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from engine.errors import ProtocolError
from tests.engine.service.plain_window import WINDOW_BYTES, JsonWindow

MAX_ENTRIES = 10_000  # layers in one file
MAX_HEADER_CHARS = 4 * 1024 * 1024  # everything that is not a row or an edit result of a layer

_DATA_MEMBERS = ("layers", "edits")


class Section(Enum):
    """Where in a layer's entry an item stood."""

    FEATURES = "features"  # replica or replacement data: the rows there are
    ADDS = "adds"
    UPDATES = "updates"
    DELETES = "deletes"
    ATTACHMENTS = "attachments"
    ATTACHMENT_ADDS = "attachment adds"
    ATTACHMENT_UPDATES = "attachment updates"
    ATTACHMENT_DELETES = "attachment deletes"
    RESULTS = "results"
    ATTACHMENT_RESULTS = "attachment results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One feature, attachment, deleted id or edit result of a layer, as its JSON value.

    ``operation`` is ``add``, ``update`` or ``delete`` for an edit result, else empty.
    """

    layer_id: int
    section: Section
    value: object
    operation: str = ""


@dataclass(slots=True, kw_only=True)
class ReplicaHeader:
    """What a file says besides its rows: all small members, and how many items it holds.

    ``layer_ids`` has one id for each entry, in file order. ``replaced`` are the layers of which
    the file has all rows (replica or replacement data), and not only what changed.
    """

    members: dict[str, object] = field(default_factory=dict)
    layer_ids: list[int] = field(default_factory=list)
    counts: Counter[tuple[int, Section]] = field(default_factory=Counter)
    replaced: set[int] = field(default_factory=set)


class _Found(NamedTuple):
    """Something met on the walk: an entry's id, the beginning of all its rows, or an item."""

    entry: int
    section: Section | None = None
    value: object = None
    operation: str = ""
    layer_id: int | None = None
    begins_data: bool = False


_CHANGES = {
    ("adds", False): Section.ADDS,
    ("updates", False): Section.UPDATES,
    ("deletes", False): Section.DELETES,
    ("deleteids", False): Section.DELETES,
    ("adds", True): Section.ATTACHMENT_ADDS,
    ("updates", True): Section.ATTACHMENT_UPDATES,
    ("deletes", True): Section.ATTACHMENT_DELETES,
    ("deleteids", True): Section.ATTACHMENT_DELETES,
}
_RESULTS = re.compile(r"(add|update|delete)(features?|attachments?|)results?", re.IGNORECASE)


def scan(path: Path, *, window_bytes: int = WINDOW_BYTES) -> ReplicaHeader:
    """Walk the whole file and give its header. :exc:`ProtocolError` if it is not complete."""
    header = ReplicaHeader()
    ids: dict[int, int] = {}
    counts: Counter[tuple[int, Section]] = Counter()
    data: set[int] = set()
    for found in _walk(path, header.members, window_bytes):
        if found.layer_id is not None:
            ids[found.entry] = found.layer_id
        elif found.begins_data:
            data.add(found.entry)
        elif found.section is not None:
            counts[(found.entry, found.section)] += 1
    entries = {*ids, *data, *(index for index, _ in counts)}
    if len(ids) <= max(entries, default=-1):
        raise ProtocolError(f"the result file {path.name}: a layer without an id")
    header.layer_ids = [ids[index] for index in range(len(ids))]
    header.replaced = {ids[index] for index in data}
    for (index, section), count in counts.items():
        header.counts[(ids[index], section)] += count
    return header


def read_rows(
    path: Path, header: ReplicaHeader, *, window_bytes: int = WINDOW_BYTES
) -> Iterator[Item]:
    """The items of a file that :func:`scan` accepted."""
    for found in _walk(path, {}, window_bytes):
        if found.section is not None:
            yield Item(
                layer_id=header.layer_ids[found.entry],
                section=found.section,
                value=found.value,
                operation=found.operation,
            )


def _walk(path: Path, members: dict[str, object], window_bytes: int) -> Iterator[_Found]:
    """All there is; what is not about a layer goes into ``members``."""
    with JsonWindow(path, window_bytes=window_bytes) as window:
        index, header_chars = 0, 0
        for name in window.members():
            if name.casefold() not in _DATA_MEMBERS:
                start = window.position
                members[name] = window.value()
                header_chars += window.position - start + len(name)
                if header_chars > MAX_HEADER_CHARS:
                    raise window.error("a header that is too long")
                continue
            is_data = name.casefold() == "layers"
            for _ in window.items():
                yield from _walk_layer(window, index, is_data)
                index += 1
                if index > MAX_ENTRIES:
                    raise window.error(f"more than {MAX_ENTRIES} layers")
        if window.peek():
            raise window.error("more text after the end")


def _walk_layer(window: JsonWindow, index: int, is_data: bool) -> Iterator[_Found]:
    for name in window.members():
        folded = name.casefold()
        if folded == "id":
            layer_id = window.value()
            if not isinstance(layer_id, int) or isinstance(layer_id, bool):
                raise window.error("a layer id that is no number")
            yield _Found(index, layer_id=layer_id)
        elif folded in ("features", "attachments"):
            of_attachments = folded == "attachments"
            if window.peek() == "{":
                yield from _walk_changes(window, index, of_attachments)
                continue
            if is_data and not of_attachments and window.peek() == "[":
                yield _Found(index, begins_data=True)
            whole = Section.ATTACHMENTS if of_attachments else Section.FEATURES
            for _ in window.items():
                yield _Found(index, whole, window.value())
        elif folded in ("attachmentresults", "attachmentsresults") and window.peek() == "{":
            yield from _walk_changes(window, index, True)
        else:
            yield from _results(window, index, name, False)


def _walk_changes(window: JsonWindow, index: int, of_attachments: bool) -> Iterator[_Found]:
    for name in window.members():
        section = _CHANGES.get((name.casefold(), of_attachments))
        if section is None:
            yield from _results(window, index, name, of_attachments)
        else:
            for _ in window.items():
                yield _Found(index, section, window.value())


def _results(window: JsonWindow, index: int, name: str, of_attachments: bool) -> Iterator[_Found]:
    """The edit results that a member holds, if its name says so; any other member is passed."""
    match = _RESULTS.fullmatch(name)
    if match is None or window.peek() != "[":
        window.value()
        return
    of_attachments = of_attachments or match[2].casefold().startswith("attachment")
    section = Section.ATTACHMENT_RESULTS if of_attachments else Section.RESULTS
    for _ in window.items():
        yield _Found(index, section, window.value(), match[1].casefold())
