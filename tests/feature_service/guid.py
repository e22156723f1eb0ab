"""GlobalIDs: one form inside, several on the wire."""

import re
import uuid
from collections.abc import Callable
from typing import Literal

Spelling = Literal["braces-upper", "braces-lower", "upper", "lower"]

_FORM = re.compile(r"\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?")

Mint = Callable[[], str]
"""A maker of new GlobalIDs in the form kept inside."""


def random_guid() -> str:
    """A new GlobalID in the form kept inside."""
    return f"{{{str(uuid.uuid4()).upper()}}}"


def canonical(text: object) -> str | None:
    """`{UPPER}` for any accepted spelling of a GUID, None for anything else."""
    if not isinstance(text, str):
        return None
    found = _FORM.fullmatch(text.strip())
    return f"{{{found.group(1).upper()}}}" if found else None


def spell(guid: str, spelling: Spelling) -> str:
    """A GUID kept inside, in the spelling a client is to see."""
    if not guid.startswith("{"):
        return guid
    match spelling:
        case "braces-upper":
            return guid
        case "braces-lower":
            return guid.lower()
        case "upper":
            return guid[1:-1]
        case "lower":
            return guid[1:-1].lower()


def bare(text: str) -> str:
    """A replica id or an item id as it is compared: no braces, no blanks, lower case."""
    return text.strip().strip("{}").lower()
