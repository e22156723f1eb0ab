"""Faults: what goes wrong on purpose, when, and how often."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Kind = Literal[
    "drop-before-commit",
    "drop-after-commit",
    "cut-response",
    "cut-upload",
    "stall-before-commit",
    "stall-after-commit",
    "trickle",
    "duplicate",
    "status",
    "truncated-result",
    "corrupt-result",
    "expired-result",
    "token-expired",
    "job-failed",
    "results-missing",
    "results-reversed",
    "replica-unregistered",
    "uploads-purged",
    "generation-overtaken",
    "schema-changed",
    "strange-row",
    "clock-skewed",
]

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. It strikes calls of `operation`, after `skip` of them, `times` times."""

    kind: Kind
    operation: str = "*"
    """The name of an operation or resource, in any case; `*` is every call."""

    service: str = "*"
    skip: int = 0
    times: int = 1
    """How often it strikes; 0 is for ever."""

    at_byte: int = 0
    """cut-response, cut-upload, truncated-result, corrupt-result: the byte it happens at."""

    bytes_per_s: int = 100
    """trickle: the speed on the server's clock."""

    status: int = 503
    """status: the HTTP status."""

    retry_after_s: int | None = None
    """status: the Retry-After header."""

    skew_s: int = 0
    """clock-skewed: how far the server's dates are from now on."""

    change: Mapping[str, Any] = field(default_factory=dict)
    """schema-changed and strange-row: what is done; see README.md."""


class Faults:
    """The faults still to come, in the order they were given."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._waiting: list[_Waiting] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Let a fault come."""
        self._waiting.append(_Waiting(fault=fault, skip=fault.skip, left=fault.times or -1))

    def clear(self) -> None:
        """Let nothing more go wrong."""
        self._waiting.clear()

    def strike(self, operation: str, service: str) -> list[Fault]:
        """The faults that strike this call; each counts it."""
        struck = []
        for waiting in list(self._waiting):
            fault = waiting.fault
            if fault.operation.lower() not in ("*", operation.lower()):
                continue
            if fault.service not in ("*", service):
                continue
            if waiting.skip:
                waiting.skip -= 1
                continue
            waiting.left -= 1
            if waiting.left == 0:
                self._waiting.remove(waiting)
            struck.append(fault)
        return struck

    def __len__(self) -> int:
        return len(self._waiting)


@dataclass(slots=True, kw_only=True)
class _Waiting:
    fault: Fault
    skip: int
    left: int


def fault_from(document: Any) -> Fault:
    """A fault written as JSON, with dashes or underscores; ValueError when it is none."""
    if not isinstance(document, dict):
        raise ValueError("a fault is a JSON object")
    given = {str(name).replace("-", "_"): value for name, value in document.items()}
    known = {entry.name for entry in fields(Fault)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise ValueError(f"a fault has no member {unknown[0]}; it has {', '.join(sorted(known))}")
    if given.get("kind") not in KINDS:
        raise ValueError(f"kind {given.get('kind')!r} is none of {', '.join(KINDS)}")
    return Fault(**given)
