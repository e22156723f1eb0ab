"""The client of a portal: its items, what belongs to them, and the files they hold.

Sources: ArcGIS REST API, "Item", "Item data", "Related items", "Item resources"; the addresses that
people copy are those of the item page and of Map Viewer.
"""

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from engine.errors import (
    AuthenticationError,
    BadParameterError,
    EngineError,
    PermissionDeniedError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.json_members import text_of
from engine.layer_schema import JsonObject
from engine.service.answer import check_file_is_no_error, check_is_no_error, place
from engine.service.download import discard, download
from engine.service.hosts import host_name, url_above
from engine.service.session import Session
from engine.service.sign_in import ARCGIS_ONLINE

MAX_RESOURCES = 10_000
"""Of one item; a list that goes on after so many is no list that was made for us."""
PAGE = 100
PEEK_BYTES = 4096

_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_USUAL_ID = re.compile(r"[0-9a-fA-F]{32}")
_BELOW_A_PORTAL = frozenset({"sharing", "home", "apps"})
_ID_PARAMETERS = ("webmap", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalItem:
    """Which item of which portal. ``portal`` is the URL below which ``sharing/rest`` lies."""

    portal: str
    item_id: str

    @classmethod
    def parse(cls, text: str, portal: str = "") -> Self:
        """From the address of an item page or of Map Viewer, or from an id and the portal's URL.

        An id without a portal is one of ArcGIS Online. :exc:`BadParameterError` if it is neither.
        """
        text, portal = text.strip(), portal.strip()
        if "://" not in text:
            if not _ID.fullmatch(text):
                raise BadParameterError(
                    f"{text!r} is no id of a portal item",
                    remedy="Give the address of its page, or its id with the URL of the portal",
                )
            return cls(portal=_portal_url(portal or ARCGIS_ONLINE), item_id=text)
        found = cls.find(text)
        if found is None:
            raise BadParameterError(
                f"{place(text)} is not the address of a portal item",
                remedy="Give the address of the item's page or of the map in Map Viewer; it has "
                "the item's id in it",
            )
        return found

    @classmethod
    def find(cls, text: str) -> Self | None:
        """As :meth:`parse`; None for anything that does not clearly name an item."""
        text = text.strip()
        if _USUAL_ID.fullmatch(text):
            return cls(portal=ARCGIS_ONLINE, item_id=text)
        try:
            parts = urlsplit(text)
            query, fragment = parse_qs(parts.query), parse_qs(parts.fragment)
        except ValueError:
            return None
        if parts.scheme.casefold() not in ("http", "https") or not parts.hostname:
            return None
        segments = parts.path.split("/")
        folded = [segment.casefold() for segment in segments]
        below = next((n for n, s in enumerate(folded) if s in _BELOW_A_PORTAL), None)
        if below is None:
            return None
        item_id = ""
        if folded[below : below + 4] == ["sharing", "rest", "content", "items"]:
            item_id = unquote("".join(segments[below + 4 : below + 5]))
        for name in _ID_PARAMETERS:
            for values in (query, fragment):
                item_id = item_id or values.get(name, [""])[0]
        if not _ID.fullmatch(item_id):
            return None
        root = f"{parts.scheme}://{parts.netloc}{'/'.join(segments[:below])}"
        return cls(portal=_portal_url(root), item_id=item_id)

    @property
    def url(self) -> str:
        """The address of its page, for a person."""
        return f"{self.portal}/home/item.html?id={self.item_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemInfo:
    """What a portal says of an item. ``size`` in bytes, -1 if unknown; ``modified`` in milliseconds
    since 1970; ``service_url`` is empty for what is no service."""

    id: str
    type: str
    title: str
    owner: str
    type_keywords: tuple[str, ...]
    size: int
    modified: int
    service_url: str
    properties: JsonObject
    resource: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        item_id, properties = value.get("id"), value.get("properties")
        if not isinstance(item_id, str) or not _ID.fullmatch(item_id):
            raise ProtocolError("an item without an id")
        keywords = value.get("typeKeywords")
        return cls(
            id=item_id,
            type=text_of(value, "type"),
            title=text_of(value, "title") or text_of(value, "name"),
            owner=text_of(value, "owner"),
            type_keywords=tuple(k for k in keywords if isinstance(k, str))
            if isinstance(keywords, list)
            else (),
            size=_number(value, "size", -1),
            modified=_number(value, "modified", 0),
            service_url=text_of(value, "url"),
            properties=properties if isinstance(properties, dict) else {},
            resource=value,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResource:
    """A file beside an item. ``name`` is the portal's: never a name for a file here."""

    name: str
    size: int
    created: int


class Portal:
    """One portal at ``url``, spoken to through ``session``."""

    def __init__(self, url: str, session: Session) -> None:
        self.url = _portal_url(url)
        self._session = session

    async def item(self, item_id: str) -> ItemInfo:
        """What the portal says of an item."""
        value = await self._get(item_id)
        try:
            return ItemInfo.from_json(value)
        except ProtocolError as error:
            raise ProtocolError(f"{place(self._item_url(item_id))} is no item") from error

    async def item_data(self, item_id: str) -> JsonObject:
        """An item's data where that is JSON, as that of a web map. At most 32 MB."""
        return await self._get(item_id, "data")

    async def resource_json(self, item_id: str, name: str) -> JsonObject:
        """A file beside an item that is JSON. At most 32 MB."""
        return await self._get(item_id, f"resources/{quote(_safe_name(name), safe='/')}")

    async def peek_item_data(self, item_id: str) -> bytes:
        """The first bytes of an item's data, at most :data:`PEEK_BYTES`; the rest is not fetched,
        as far as the portal gives parts."""
        url = f"{self._item_url(item_id)}/data"
        wanted = {"Accept-Encoding": "identity", "Range": f"bytes=0-{PEEK_BYTES - 1}"}

        async def attempt() -> bytes:
            found = b""
            async with self._session.opened(f"{url}?f=json", wanted) as exchange:
                while len(found) < PEEK_BYTES and (piece := await exchange.read()):
                    found += piece
            return found[:PEEK_BYTES]

        found = await self._session.repeat(url, attempt, lambda: 0)
        check_is_no_error(found, place(url))
        return found

    async def related_items(
        self, item_id: str, relationship_type: str, *, reverse: bool = False
    ) -> list[ItemInfo]:
        """The items that this one points at by a relationship; with ``reverse`` those that point
        at it. All pages of the list, whichever way the portal counts them."""
        form = {
            "relationshipType": relationship_type,
            "direction": "reverse" if reverse else "forward",
            "num": str(PAGE),
        }
        found: dict[str, ItemInfo] = {}
        page = {"start": "1"}
        while page:
            value = await self._get(item_id, "relatedItems", form | page)
            listed = value.get("relatedItems")
            if (
                not isinstance(listed, list)
                or not all(isinstance(one, dict) for one in listed)
                or len(found) > MAX_RESOURCES
            ):
                raise ProtocolError(
                    f"{place(self._item_url(item_id))}/relatedItems is no usable list"
                )
            items = {one.id: one for one in map(ItemInfo.from_json, listed)}
            has_more, found = bool(items.keys() - found.keys()), found | items
            start, key = _number(value, "nextStart", -1), text_of(value, "nextkey")
            page = {"start": str(start)} if start > 1 else {}
            page |= {"nextkey": key} if key else {}
            page = page if has_more else {}
        return list(found.values())

    async def resources(self, item_id: str) -> list[ItemResource]:
        """The files beside an item, all pages of the list."""
        found: list[ItemResource] = []
        start = 1
        while start > 0:
            form = {"start": str(start), "num": str(PAGE)}
            value = await self._get(item_id, "resources", form)
            listed, following = value.get("resources"), _number(value, "nextStart", -1)
            if not isinstance(listed, list) or len(found) > MAX_RESOURCES:
                raise ProtocolError(f"{place(self._item_url(item_id))}/resources is no usable list")
            found += [_resource(one) for one in listed if isinstance(one, dict)]
            start = following if following > start and listed else -1
        return found

    async def download_item_data(
        self, item_id: str, target: Path, *, limit_bytes: int | None = None
    ) -> int:
        """An item's data to a file; returns its bytes. It goes on where an earlier run broke off,
        and there must be room for it. :exc:`ProtocolError` if it is more than ``limit_bytes``."""
        return await self._download(f"{self._item_url(item_id)}/data", target, limit_bytes)

    async def download_resource(
        self, item_id: str, name: str, target: Path, *, limit_bytes: int | None = None
    ) -> int:
        """A file beside an item; returns its bytes. As :meth:`download_item_data`."""
        url = f"{self._item_url(item_id)}/resources/{quote(name, safe='/')}"
        return await self._download(url, target, limit_bytes)

    async def _download(self, url: str, target: Path, limit_bytes: int | None) -> int:
        # A file comes as it is whatever the format; an error comes in it.
        asked = f"{url}?f=json"
        size = await download(
            self._session, asked, target, memo={}, is_packable=False, limit_bytes=limit_bytes
        )
        try:
            await asyncio.to_thread(check_file_is_no_error, target, place(url))
        except EngineError:
            await asyncio.to_thread(discard, target)
            raise
        return size

    def _item_url(self, item_id: str) -> str:
        if not _ID.fullmatch(item_id):
            raise BadParameterError(f"{item_id!r} is no id of a portal item")
        return f"{self.url}/sharing/rest/content/items/{item_id}"

    async def _get(
        self, item_id: str, below: str = "", form: dict[str, str] | None = None
    ) -> JsonObject:
        url = self._item_url(item_id)
        try:
            return await self._session.get(f"{url}/{below}" if below else url, form)
        except AuthenticationError:
            raise
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                f"the portal {host_name(self.url)} does not show the item {item_id} to this user: "
                f"{error.message}",
                service_code=error.service_code,
                details=error.details,
                remedy="Ask its owner to share it, or give the credentials of somebody who sees it",
            ) from error
        except ServiceRefusedError as error:
            raise ServiceRefusedError(
                f"the portal {host_name(self.url)} has no item {item_id} that it shows: "
                f"{error.message}",
                service_code=error.service_code,
                details=error.details,
                remedy="Check the id; for an item that is not public give credentials",
            ) from error
        except ProtocolError as error:
            raise ProtocolError(
                f"{error.message}; either it is no portal, or the item {item_id} has nothing there",
                remedy="Give the URL below which the portal has its sharing/rest",
            ) from error


def _portal_url(url: str) -> str:
    """The URL of a portal without what people copy along with it."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme.casefold() not in ("http", "https") or not parts.hostname:
        raise BadParameterError(
            f"{place(url)!r} is not the http or https URL of a portal",
            remedy="Give it like https://www.arcgis.com or https://gis.example.org/portal",
        )
    if "@" in parts.netloc:
        raise BadParameterError(
            f"the URL {place(url)} was given with credentials in it",
            remedy="Leave user and password out of the URL",
        )
    return url_above(url.strip(), _BELOW_A_PORTAL)


def _resource(value: JsonObject) -> ItemResource:
    name = _safe_name(text_of(value, "resource"))
    return ItemResource(
        name=name, size=_number(value, "size", -1), created=_number(value, "created", 0)
    )


def _safe_name(name: str) -> str:
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise ProtocolError(f"a resource of the name {name!r}")
    return name


def _number(value: JsonObject, name: str, default: int) -> int:
    number = value.get(name)
    return number if isinstance(number, int) and not isinstance(number, bool) else default
