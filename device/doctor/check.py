"""One thing that was looked at."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    name: str
    is_ok: Annotated[bool | None, "Null: it could not be seen, or is not there to be seen."]
    detail: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        """The verdict in a word."""
        return {True: "ok", False: "NOT OK", None: "?"}[self.is_ok]


def well(name: str, detail: str) -> Check:
    return Check(name=name, is_ok=True, detail=detail)


def ill(name: str, detail: str, remedy: str) -> Check:
    return Check(name=name, is_ok=False, detail=detail, remedy=remedy)


def unknown(name: str, detail: str, remedy: str = "") -> Check:
    return Check(name=name, is_ok=None, detail=detail, remedy=remedy)
