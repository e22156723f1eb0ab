"""A delta file as the engine reads it: proven whole first, then edit by edit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from engine.errors import DeltaError
from engine.geodatabase.difference import Cell
from engine.model import EditOperation, normalise_guid
from engine.sync.delta_parts import (
    FIRST,
    LAST,
    OLDER,
    SIZE,
    CarriedEdit,
    DeltaContent,
    Part,
    Role,
    cells_of,
    masked_cells,
)
from native.delta import DeltaHeader, DeltaReader, Section
from native.errors import DeltaError as CodecError
from native.layer import Layer
from native.operation import Operation

MOST_UNMATCHED = 20_000
"""Edits whose rows may follow later in the file: no writer comes near this."""

_OPERATIONS = {
    Operation.ADDS: EditOperation.ADD,
    Operation.UPDATES: EditOperation.UPDATE,
    Operation.DELETES: EditOperation.DELETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some bytes of an attachment, which belong at ``offset``."""

    number: int
    global_id: str
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSection:
    """A section of a block, and which part of which table it is."""

    block: int
    part: Part
    section: Section
    layer: Layer = field(repr=False)

    def cells(self, row: tuple[Cell, ...]) -> tuple[str, dict[str, Cell]]:
        """GlobalID and cells of a whole row."""
        cells = cells_of(self.layer, row)
        return str(cells[self.layer.key or ""]), cells


class DeltaFile:
    """A delta file that was read to its end once and is sound; made by :meth:`open`.

    ``seal`` is the SHA-256 that it ends with, over all that is before it.
    """

    def __init__(self, path: Path, header: DeltaHeader, seal: str) -> None:
        self.path = path
        self.header = header
        self.seal = seal
        self.content = DeltaContent(header.about["content"])
        self.layers: dict[int, Layer] = {layer.id: layer for layer in header.layers}

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read the file once to its end; :exc:`DeltaError` if anything is not as it was written.

        So what comes afterwards never meets a broken block halfway.
        """
        path = Path(path)
        with _open(path) as reader:
            try:
                for block in reader.blocks():
                    for section in block.sections():
                        Part.of(section.layer_id)
                if not reader.is_at_end:
                    raise DeltaError(f"{path} is damaged: something follows its end")
                return cls(path, reader.header, reader.seal.hex() if reader.seal else "")
            except (ValueError, KeyError) as error:
                raise DeltaError(f"{path} is a delta, but not one of the engine's") from error

    @property
    def id(self) -> str:
        return self.header.id.hex()

    @property
    def service_url(self) -> str:
        return self.header.service

    @property
    def replica_id(self) -> str:
        return self.header.replica

    def counts(self) -> tuple[int, int]:
        """How many rows and how many attachments it speaks of."""
        found = [0, 0]
        for one in self.sections():
            if one.part.role is Role.ROWS:
                found[one.part.number & 1] += len(one.section.keys) or len(one.section.rows)
        return found[0], found[1]

    @property
    def generations(self) -> dict[str, int | None]:
        """The generations the geodatabase had: that of the replica under ``replica``, and those of
        its layers under their ids."""
        about = self.header.about
        layers = about.get("generations")
        return {"replica": about.get("server_generation"), **(layers or {})}

    def layer(self, number: int, role: Role) -> Layer | None:
        """What the file says of that part; None if it has none."""
        return self.layers.get(Part(number, role).id)

    @property
    def numbers(self) -> list[int]:
        """The tables that it speaks of."""
        return sorted({Part.of(part_id).number for part_id in self.layers})

    @property
    def layer_ids(self) -> list[int]:
        """The layers that these tables, or the tables of their attachments, are of."""
        return sorted({number >> 1 for number in self.numbers})

    def sections(self, *, applied: int = 0) -> Iterator[BlockSection]:
        """The sections in their order, without those of the first ``applied`` blocks."""
        with _open(self.path) as reader:
            if reader.header != self.header:
                raise DeltaError(f"{self.path} was exchanged while it was read")
            for block in reader.blocks(applied=range(1, applied + 1)):
                for section in block.sections():
                    part = Part.of(section.layer_id)
                    yield BlockSection(
                        block=block.number,
                        part=part,
                        section=section,
                        layer=self.layers[section.layer_id],
                    )

    def edits(self) -> Iterator[CarriedEdit | Piece | BlockSection]:
        """The edits, the pieces of attachments behind them, and sections of any other kind."""
        bases: dict[tuple[int, str], dict[str, Cell]] = {}
        for one in self.sections():
            number, section = one.part.number, one.section
            layer = self.layers[section.layer_id]
            match one.part.role:
                case Role.BASE:
                    for key, row in zip(section.keys, section.rows, strict=True):
                        bases[(number, str(key))] = masked_cells(layer, row)
                    self._check(len(bases) <= MOST_UNMATCHED)
                case Role.ROWS:
                    for global_id, cells in _rows(layer, section):
                        base = bases.pop((number, global_id), None)
                        if base is None:
                            raise self._broken()
                        yield self._edit(number, global_id, section.operation, cells, base)
                case Role.DATA:
                    for gid, offset, data in section.rows:
                        self._check(isinstance(gid, str) and isinstance(offset, int))
                        self._check(isinstance(data, bytes) and offset >= 0)
                        yield Piece(number=number, global_id=gid, offset=offset, data=data)
                case _:
                    yield one
        self._check(not bases)

    def edits_by_table(self, size: int) -> Iterator[tuple[int, list[CarriedEdit]]]:
        """The edits, at most ``size`` at a time, those of one table together; with its number."""
        some: list[CarriedEdit] = []
        for event in self.edits():
            if not isinstance(event, CarriedEdit):
                continue
            if some and (some[0].number != event.number or len(some) >= size):
                yield some[0].number, some
                some = []
            some.append(event)
        if some:
            yield some[0].number, some

    def _edit(
        self,
        number: int,
        global_id: str,
        operation: Operation,
        cells: dict[str, Cell],
        base: dict[str, Cell],
    ) -> CarriedEdit:
        first, last, size = base.pop(FIRST, None), base.pop(LAST, None), base.pop(SIZE, None)
        older = base.pop(OLDER, None)
        if not isinstance(first, int) or not isinstance(last, int):
            raise self._broken()
        if size is not None and not isinstance(size, int):
            raise self._broken()
        self._check(normalise_guid(global_id) is not None)
        return CarriedEdit(
            number=number,
            global_id=global_id,
            operation=_OPERATIONS[operation],
            first=first,
            last=last,
            size_bytes=size,
            is_older_there=bool(older),
            cells=cells,
            base=base,
        )

    def _check(self, is_sound: bool) -> None:
        if not is_sound:
            raise self._broken()

    def _broken(self) -> DeltaError:
        return DeltaError(f"{self.path} does not hold what its header says")


@contextmanager
def _open(path: Path) -> Iterator["_Reader"]:
    try:
        with open(path, "rb") as stream:
            yield _Reader(stream.read)
    except CodecError as error:
        raise DeltaError(f"{path} is damaged or no delta file: {error}") from error
    except OSError as error:
        raise DeltaError(
            f"{path} cannot be read: {error.strerror}", remedy="Check the path and the medium"
        ) from error


class _Reader(DeltaReader):
    """A reader that knows whether the file goes on behind the end of the delta."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._more = read
        super().__init__(read)

    @property
    def is_at_end(self) -> bool:
        return not self._more(1)


def _rows(layer: Layer, section: Section) -> Iterator[tuple[str, dict[str, Cell]]]:
    """GlobalID and cells of each edit of a section."""
    match section.operation:
        case Operation.ADDS:
            for row in section.rows:
                cells = cells_of(layer, row)
                yield str(cells.pop(layer.key or "")), cells
        case Operation.UPDATES:
            for key, row in zip(section.keys, section.rows, strict=True):
                yield str(key), masked_cells(layer, row)
        case _:
            for key in section.keys:
                yield str(key), {}
