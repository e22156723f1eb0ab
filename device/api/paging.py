"""Pages of long lists: where one ends, and where the next begins.

A place is told as text that means nothing to the caller. It names the last item that was given, not
how many were, so that nothing is missed or told twice when items come and go between two pages.
"""

import base64
import binascii
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TypeVar

from device.api.problems import HttpError
from device.review import START, EditPlace
from engine import Geodatabase

ItemT = TypeVar("ItemT")
LARGEST = 2**63 - 1


async def take(items: AsyncIterator[ItemT], limit: int) -> tuple[list[ItemT], bool]:
    """The first ``limit`` items, and whether there are more."""
    assert isinstance(items, AsyncGenerator)
    page: list[ItemT] = []
    async with aclosing(items):
        async for one in items:
            if len(page) == limit:
                return page, True
            page.append(one)
    return page, False


def after_edit(place: EditPlace) -> str:
    """The text of a place among the edits of a map."""
    return _text([place.file, place.layer, place.is_photo, place.sequence])


def edit_place(text: str | None) -> EditPlace:
    """The place that :func:`after_edit` told."""
    match _value(text):
        case None:
            return START
        case [int() as file, int() as layer, bool() as is_photo, int() as sequence]:
            return EditPlace(file, layer, is_photo, min(sequence, LARGEST))
    raise _strange()


def after_number(file: str, number: int) -> str:
    """The text of a place among what has numbers."""
    return _text([file, number])


def numbered_place(text: str | None) -> tuple[str | None, int]:
    """The file and number that :func:`after_number` told."""
    match _value(text):
        case None:
            return None, 0
        case [str() as file, int() as number]:
            return file, min(number, LARGEST)
    raise _strange()


def from_file(geodatabases: Sequence[Geodatabase], file: str | None) -> Sequence[Geodatabase]:
    """The geodatabases from that file on."""
    if file is None:
        return geodatabases
    for at, geodatabase in enumerate(geodatabases):
        if geodatabase.path.name == file:
            return geodatabases[at:]
    raise _strange()


def _text(place: list[object]) -> str:
    packed = json.dumps(place, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _value(text: str | None) -> object:
    if text is None:
        return None
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        return json.loads(packed)
    except (ValueError, RecursionError, binascii.Error):
        raise _strange() from None


def _strange() -> HttpError:
    return HttpError(
        404,
        "after is no place in this list",
        remedy="Give the next of the page before, or leave it out",
    )
