"""Reading replica and delta files, one feature at a time, whatever the file's size.

The file is JSON as ``createReplica`` and ``synchronizeReplica`` make it (ArcGIS REST API, "Create
replica", "Synchronize replica", "Sync and attachments"). It is read twice: :func:`scan` walks it to
the end and gives its header, so that a cut-off file is refused before anything is applied;
:func:`read_rows` then gives features in file order. Members may come in any order.
"""

import codecs
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from engine.errors import ProtocolError
from engine.layer_schema import JsonObject

CHUNK_BYTES = 64 * 1024
MAX_VALUE_CHARS = 64 * 1024 * 1024  # one feature; a longer one is hostile or broken

_SPACE = " \t\n\r"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One feature, attachment, deleted id or edit result of a layer, as its JSON value."""

    layer_id: int
    section: Section
    value: object


@dataclass(slots=True, kw_only=True)
class ReplicaHeader:
    """What a file says besides its rows: all small members, and how many items it holds."""

    members: dict[str, object] = field(default_factory=dict)
    layer_ids: list[int] = field(default_factory=list)
    counts: Counter[tuple[int, Section]] = field(default_factory=Counter)
    has_replacement_data: bool = False
    has_edits: bool = False


_CHANGES = {"adds": "ADDS", "updates": "UPDATES", "deletes": "DELETES", "deleteids": "DELETES"}
_RESULTS = ("addresults", "updateresults", "deleteresults", "attachmentresults")


class _Reader:
    """A cursor over JSON text of which only a window is in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = open(path, "rb")  # noqa: SIM115 (closed by close, which callers guarantee)
        self._decode = codecs.getincrementaldecoder("utf-8")("strict").decode
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._dropped = 0
        self._ended = False

    def close(self) -> None:
        self._stream.close()

    def error(self, what: str) -> ProtocolError:
        where = self._dropped + self._at
        return ProtocolError(f"the result file {self._path.name}: {what} at character {where}")

    def _more(self) -> bool:
        if self._ended:
            return False
        chunk = self._stream.read(max(CHUNK_BYTES, len(self._text) - self._at))
        try:
            text = self._decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            raise self.error("not UTF-8 text") from None
        self._text = self._text[self._at :] + text
        self._dropped += self._at
        self._at = 0
        self._ended = not chunk
        return True

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in _SPACE:
                    return character
                self._at += 1
            if not self._more():
                return ""

    def take(self, expected: str) -> str:
        """Step over the next character, which must be one of ``expected``."""
        character = self.peek()
        if not character or character not in expected:
            found = repr(character) if character else "the end of the file"
            raise self.error(f"{found} where one of {expected!r} must be")
        self._at += 1
        return character

    def value(self) -> object:
        """The next whole value."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number at the window's edge may go on behind it.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            except ValueError as error:
                if self._ended:
                    raise self.error(f"no JSON value ({error})") from None
            except RecursionError:
                raise self.error("a value is nested too deep") from None
            if len(self._text) - self._at > MAX_VALUE_CHARS:
                raise self.error("a value is too long")
            self._more()

    def members(self) -> Iterator[str]:
        """Names of the object that begins here; the caller consumes each value."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise self.error("a member without a name")
            self.take(":")
            yield name
            if self.take(",}") == "}":
                return

    def items(self) -> Iterator[None]:
        """Once for each item of the array that begins here; the caller consumes it.

        ``null`` in place of an array is an empty one.
        """
        if self.peek() == "n":
            if self.value() is not None:
                raise self.error("no array")
            return
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield
            if self.take(",]") == "]":
                return


def scan(path: Path) -> ReplicaHeader:
    """Walk the whole file and give its header. :exc:`ProtocolError` if it is not complete."""
    header = ReplicaHeader()
    for index, layer_id, section, _ in _walk(path, header):
        if layer_id is not None:
            while len(header.layer_ids) <= index:
                header.layer_ids.append(-1)
            header.layer_ids[index] = layer_id
        if section is not None:
            header.counts[(index, section)] += 1
    if -1 in header.layer_ids:
        raise ProtocolError(f"the result file {path.name}: a layer without an id")
    by_layer: Counter[tuple[int, Section]] = Counter()
    for (index, section), count in header.counts.items():
        if index >= len(header.layer_ids):
            raise ProtocolError(f"the result file {path.name}: a layer without an id")
        by_layer[(header.layer_ids[index], section)] += count
    header.counts = by_layer
    return header


def read_rows(path: Path, header: ReplicaHeader) -> Iterator[Item]:
    """The items of a file that :func:`scan` accepted."""
    for index, _, section, value in _walk(path, ReplicaHeader()):
        if section is not None:
            yield Item(layer_id=header.layer_ids[index], section=section, value=value)


_Found = tuple[int, int | None, Section | None, object]


def _walk(path: Path, header: ReplicaHeader) -> Iterator[_Found]:
    """(number of the layer entry, its id when met, section, item) for all there is."""
    reader = _Reader(path)
    try:
        index = 0
        for name in reader.members():
            if name not in _DATA_MEMBERS:
                header.members[name] = reader.value()
                continue
            for _ in reader.items():
                if name == "layers":
                    header.has_replacement_data = True
                else:
                    header.has_edits = True
                yield from _walk_layer(reader, index)
                index += 1
        if reader.peek():
            raise reader.error("more text after the end")
    finally:
        reader.close()


def _walk_layer(reader: _Reader, index: int) -> Iterator[_Found]:
    for name in reader.members():
        folded = name.casefold()
        if folded == "id":
            layer_id = reader.value()
            if not isinstance(layer_id, int):
                raise reader.error("a layer id that is no number")
            yield index, layer_id, None, None
        elif folded in ("features", "attachments"):
            prefix = "ATTACHMENT_" if folded == "attachments" else ""
            if reader.peek() == "{":
                yield from _walk_changes(reader, index, prefix)
            else:
                whole = Section.ATTACHMENTS if prefix else Section.FEATURES
                for _ in reader.items():
                    yield index, None, whole, reader.value()
        elif folded in _RESULTS:
            yield from _results(reader, index, name)
        else:
            reader.value()


def _walk_changes(reader: _Reader, index: int, prefix: str) -> Iterator[_Found]:
    for name in reader.members():
        section = _CHANGES.get(name.casefold())
        if section is not None:
            for _ in reader.items():
                yield index, None, Section[prefix + section], reader.value()
        elif name.casefold() in _RESULTS:
            yield from _results(reader, index, prefix + name)
        else:
            reader.value()


def _results(reader: _Reader, index: int, name: str) -> Iterator[_Found]:
    for _ in reader.items():
        value = reader.value()
        if isinstance(value, dict):
            yield index, None, Section.RESULTS, {**value, "": name}


def generations(members: JsonObject) -> tuple[int | None, dict[int, int]]:
    """(``replicaServerGen``, ``{layer id: serverGen}``) of a header or an answer's envelope.

    The documentation prints ``layerServerGens`` as a list and as a string that holds one.
    """
    replica = members.get("replicaServerGen")
    layers = members.get("layerServerGens")
    if isinstance(layers, str):
        try:
            layers = json.loads(layers)
        except ValueError:
            layers = None
    per_layer: dict[int, int] = {}
    for entry in layers if isinstance(layers, list) else []:
        if isinstance(entry, dict):
            layer_id, generation = entry.get("id"), entry.get("serverGen")
            if isinstance(layer_id, int) and isinstance(generation, int):
                per_layer[layer_id] = generation
    return (replica if isinstance(replica, int) else None), per_layer
