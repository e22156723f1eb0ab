"""Files that go up in parts, so that a broken link costs one part and not the file.

Sources: ArcGIS REST API, "Uploads", "Register", "Upload part", "Commit", "Item". An item is known
by its id until it is deleted, or purged by the service's own rule; parts that arrived stay there,
and one that is sent again replaces itself.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.layer_schema import JsonObject
from engine.service.answer import place
from engine.service.feature_service import FeatureService

_DENIED = (AuthenticationError, PermissionDeniedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: ``number`` counts from 1; ``size`` bytes of the file from ``offset`` on."""

    number: int
    offset: int
    size: int


class Uploads:
    """The uploads of one feature service."""

    def __init__(self, service: FeatureService) -> None:
        self._session = service.session
        self._url = f"{service.url}/uploads"

    async def register(self, name: str) -> str:
        """Announce a file that will come in parts; its item's id. Retried: an item that nobody
        uses is purged by the service."""
        answer = await self._session.post(
            f"{self._url}/register", {"itemName": name}, repeatable=True
        )
        item = answer.get("item")
        found = _member(item, "itemID") if isinstance(item, dict) else None
        if not isinstance(found, str) or not found:
            raise ProtocolError(f"{place(self._url)}/register did not name an item")
        return found

    async def send(self, item: str, content: Path, part: Part) -> None:
        """Send one part of the file ``content``. Never retried here.

        :exc:`ServiceRefusedError` or :exc:`ProtocolError`: the service did not take it.
        """
        answer = await self._session.post_file(
            f"{self._place(item)}/uploadPart",
            {"partId": str(part.number)},
            "file",
            content,
            filename=content.name,
            span=(part.offset, part.size),
        )
        if answer.get("success") is not True:
            raise ProtocolError(f"{place(self._url)} did not say that it took part {part.number}")

    async def parts(self, item: str) -> frozenset[int] | None:
        """The numbers of the parts that the service has; None if it does not know the item."""
        answer = await self._ask(f"{self._place(item)}/parts")
        if answer is None:
            return None
        found = _member(answer, "parts")
        if not isinstance(found, list):
            raise ProtocolError(f"{place(self._url)}/{item}/parts is no list of parts")
        names = [_member(p, "partId") if isinstance(p, dict) else p for p in found]
        return frozenset(int(str(name)) for name in names if str(name).isdigit())

    async def is_committed(self, item: str) -> bool | None:
        """Whether the item is whole; None if the service does not know it."""
        answer = await self._ask(self._place(item))
        if answer is None:
            return None
        inner = answer.get("item")
        return _member(inner if isinstance(inner, dict) else answer, "committed") is True

    async def commit(self, item: str, count: int) -> None:
        """Join the parts 1 to ``count``. Never retried here."""
        numbers = ",".join(str(number) for number in range(1, count + 1))
        answer = await self._session.post(f"{self._place(item)}/commit", {"parts": numbers})
        if answer.get("success") is not True:
            raise ProtocolError(f"{place(self._url)} did not say that it committed {item}")

    async def delete(self, item: str) -> None:
        """Let the service forget an item that is not wanted any more."""
        await self._session.post(f"{self._place(item)}/delete", {})

    def _place(self, item: str) -> str:
        return f"{self._url}/{quote(item, safe='')}"

    async def _ask(self, url: str) -> JsonObject | None:
        """A resource of the item, None if there is none."""
        try:
            return await self._session.get(url)
        except _DENIED:
            raise
        except ServiceRefusedError:
            return None


def _member(value: JsonObject, name: str) -> object:
    """A member in any letter case: servers spell ``itemID`` and ``itemId``."""
    return next((v for k, v in value.items() if k.casefold() == name.casefold()), None)
