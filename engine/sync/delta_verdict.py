"""What an acknowledgement says of one edit."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from engine.errors import DeltaError
from engine.geodatabase.difference import Cell
from engine.sync.delta_file import BlockSection, DeltaFile
from engine.sync.delta_parts import CarriedEdit, Role

MOST_WAITING = 20_000
"""Results whose edits may follow later in the file: no writer comes near this."""


class EditVerdict(Enum):
    """What became of one edit."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    GONE = "gone"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of ``edit``. ``global_id`` is the row's now, ``there`` the service's row."""

    edit: CarriedEdit
    verdict: EditVerdict
    code: str | None = None
    description: str = ""
    object_id: int | None = None
    global_id: str
    there: dict[str, Cell] | None = field(default=None, repr=False)


def read_answers(delta: DeltaFile) -> Iterator[Answer]:
    """The answers in an acknowledgement; ``there`` in the columns of the device's own table."""
    results: dict[tuple[int, str], dict[str, Cell]] = {}
    rows: dict[tuple[int, str], dict[str, Cell]] = {}
    for event in delta.edits():
        if isinstance(event, BlockSection):
            target = results if event.part.role is Role.RESULT else rows
            for gid, cells in map(event.cells, event.section.rows):
                target[(event.part.number, gid)] = cells
            if len(target) > MOST_WAITING:
                raise _broken(delta)
        elif isinstance(event, CarriedEdit):
            key = (event.number, event.global_id)
            yield _answer(delta, event, results.pop(key, None), rows.pop(key, None))


def _answer(
    delta: DeltaFile,
    edit: CarriedEdit,
    result: dict[str, Cell] | None,
    there: dict[str, Cell] | None,
) -> Answer:
    if result is None:
        raise _broken(delta)
    object_id, code = result["object_id"], result["code"]
    try:
        return Answer(
            edit=edit,
            verdict=EditVerdict(result["outcome"]),
            code=None if code is None else str(code),
            description=str(result["description"]),
            object_id=object_id if isinstance(object_id, int) else None,
            global_id=str(result["global_id"]),
            there=there,
        )
    except ValueError as error:
        raise _broken(delta) from error


def _broken(delta: DeltaFile) -> DeltaError:
    return DeltaError(f"{delta.path} does not hold what its header says")
