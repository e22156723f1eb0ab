"""What answers hold, beside the status: lists, pages and problems."""

from dataclasses import dataclass
from typing import Annotated

from device.api.status import BudgetStatus, Failure, JobRecord, LinkStatus, MapStatus
from device.review import ConflictFacts, EditFacts, QuarantineFacts
from engine import Side

NEXT = "What to give as `after` for the next page; null: there is none."


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The waiting, the running and the last jobs, newest first."""

    jobs: tuple[JobRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """The maps of the configuration."""

    maps: tuple[MapStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The ways out of the device, and how much may still go over each class of them today."""

    links: tuple[LinkStatus, ...]
    budgets: tuple[BudgetStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditPage:
    """Edits that the services do not have, in the order in which the rows were first touched."""

    edits: tuple[EditFacts, ...]
    errors: Annotated[
        tuple[Failure, ...], "Why the edits of some layers or geodatabases are not known."
    ]
    next: Annotated[str | None, NEXT]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictPage:
    """Rows that were edited on both sides."""

    conflicts: tuple[ConflictFacts, ...]
    next: Annotated[str | None, NEXT]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinePage:
    """Edits that were refused, and rows that could not be stored."""

    quarantine: tuple[QuarantineFacts, ...]
    next: Annotated[str | None, NEXT]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedConflict:
    """A conflict, and whose values were taken."""

    id: int
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedConflicts:
    """What was decided; the next sync sends what has to be sent."""

    decided: tuple[DecidedConflict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedRows:
    """The numbers that were decided."""

    decided: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a request was not carried out (RFC 9457): what, where, and what to do about it."""

    title: Annotated[str, "The kind of problem, in the words of HTTP."]
    status: int
    detail: Annotated[str, "What happened."]
    instance: Annotated[str, "The path that was asked for."]
    code: Annotated[str, "One of the codes in docs/API.md or docs/socket.md."]
    remedy: Annotated[str, "What to do; may be empty."]
    exit_code: Annotated[int, "What a command should end with (docs/cli.md)."]
