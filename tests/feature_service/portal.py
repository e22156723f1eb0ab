"""A minimal portal: items, their data, their resources and what they are related to.

Source: ArcGIS REST API, "Item", "Item data", "Related items", "Item resources", "Portal self".

`DIR/portal/<item id>/item.json` is an item; `data.json` or one other `data.*` file next to it
its data, `resources/` its resources, and the member `related` of `item.json` the ids of related
items by relationship type. `{origin}` in the JSON stands for the server's scheme and host.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .answer import Answer, document
from .call import Call
from .clock import Clock
from .definition import VERSION
from .hosted import Actor
from .problem import DataError, ServiceError, invalid_url

T = TypeVar("T")

_ID = re.compile(r"[0-9a-zA-Z_-]+")
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item folder."""

    id: str
    folder: Path

    def document(self) -> dict[str, Any]:
        """`item.json` as it is written."""
        return dict(json.loads((self.folder / "item.json").read_text(encoding="utf-8")))

    def save(self, document: dict[str, Any]) -> None:
        """Replace `item.json`."""
        (self.folder / "item.json").write_text(json.dumps(document, indent=2), encoding="utf-8")

    def data(self) -> Path | None:
        """The data file, if the item has one."""
        return next(iter(sorted(self.folder.glob("data.*"))), None)

    def resources(self) -> list[Path]:
        """The resource files, in the order of their names."""
        return sorted((self.folder / "resources").glob("*"))


class Portal:
    """The items of one data folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    @property
    def is_there(self) -> bool:
        """Whether the data folder has a portal at all."""
        return self._folder.is_dir()

    def check(self) -> None:
        """DataError for an item that cannot be read."""
        for item in self.items():
            try:
                item.document()
            except (OSError, ValueError, TypeError) as error:
                raise DataError(f"{item.folder / 'item.json'}: is no item ({error})") from error

    def items(self) -> list[Item]:
        """Every item, in the order of the ids."""
        if not self.is_there:
            return []
        folders = sorted(path for path in self._folder.iterdir() if path.is_dir())
        return [Item(id=folder.name, folder=folder) for folder in folders]

    def item(self, item_id: str) -> Item:
        """The item of that id; ServiceError when there is none."""
        folder = self._folder / item_id
        if not _ID.fullmatch(item_id) or not (folder / "item.json").exists():
            raise ServiceError(
                400, "Item does not exist or is inaccessible.", f"there is no item {item_id}"
            )
        return Item(id=item_id, folder=folder)

    def related(self, item: Item, kind: str) -> list[Item]:
        """The items this one points at by a relationship."""
        listed = (item.document().get("related") or {}).get(kind) or []
        return [self.item(str(item_id)) for item_id in listed]

    def answer(self, call: Call, actor: Actor, path: tuple[str, ...]) -> Answer:
        """Answer a call; `path` is what follows `sharing/rest`."""
        match tuple(part.lower() for part in path):
            case ("portals", "self"):
                return document(_self(call, actor), call.format)
            case ("community", "self"):
                return document({"username": actor.name}, call.format)
            case ("content", "items", _):
                return document(self._shown(call, self.item(path[2])), call.format)
            case ("content", "items", _, "data"):
                return self._data(call, self.item(path[2]))
            case ("content", "items", _, "relateditems"):
                return document(self._related(call, self.item(path[2])), call.format)
            case ("content", "items", _, "resources"):
                return document(_resources(call, self.item(path[2])), call.format)
            case ("content", "items", _, "resources", _):
                return _resource(self.item(path[2]), path[4])
        raise invalid_url()

    def _shown(self, call: Call, item: Item) -> dict[str, Any]:
        data = item.data()
        now_ms = self._clock.now_ms()
        shown = {
            "id": item.id,
            "owner": "",
            "created": now_ms,
            "modified": now_ms,
            "title": item.id,
            "typeKeywords": [],
            "access": "public",
            "size": -1 if data is None else data.stat().st_size,
            **item.document(),
        }
        for private in ("related", "resourceDates"):
            shown.pop(private, None)
        return dict(_placed(shown, call.origin))

    def _data(self, call: Call, item: Item) -> Answer:
        data = item.data()
        if data is None:
            return Answer(content=b"", content_type=_BYTES)
        if data.suffix != ".json" or item.document().get("type") == "SQLite Geodatabase":
            return _file(data)
        form = call.format if call.parameters.has("f") else "json"
        return document(_placed(json.loads(data.read_text(encoding="utf-8")), call.origin), form)

    def _related(self, call: Call, item: Item) -> dict[str, Any]:
        kind = call.parameters.text("relationshipType")
        if call.parameters.text("direction", "forward").lower() == "reverse":
            found = [other for other in self.items() if item in self.related(other, kind)]
        else:
            found = self.related(item, kind)
        page, told = _page(call, found)
        return {**told, "relatedItems": [self._shown(call, one) for one in page]}


def _placed(value: Any, origin: str) -> Any:
    return json.loads(json.dumps(value).replace("{origin}", origin))


def _self(call: Call, actor: Actor) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": "0123456789ABCDEF",
        "name": "Reference portal",
        "isPortal": True,
        "currentVersion": str(VERSION),
        "portalHostname": call.origin.partition("//")[2] + "/portal",
        "supportsOAuth": True,
        "helperServices": {},
    }
    if actor.name:
        shown["user"] = {"username": actor.name, "role": "org_publisher"}
    return shown


def _page(call: Call, every: list[T]) -> tuple[list[T], dict[str, int]]:
    """The part of a list that was asked for, ten if that is not said, and which part it is."""
    start = max(call.parameters.integer("start") or 1, 1)
    count = call.parameters.integer("num") or 10
    page = every[start - 1 : start - 1 + count]
    following = start + count
    return page, {
        "total": len(every),
        "start": start,
        "num": len(page),
        "nextStart": following if following <= len(every) else -1,
    }


def _resources(call: Call, item: Item) -> dict[str, Any]:
    created = item.document().get("resourceDates") or {}
    page, told = _page(call, item.resources())
    return {
        **told,
        "resources": [
            {
                "resource": file.name,
                "created": created.get(file.name, 0),
                "size": file.stat().st_size,
            }
            for file in page
        ],
    }


def _file(path: Path) -> Answer:
    """A file as storage serves it: one that may be asked for in part."""
    facts = path.stat()
    tag = f"{facts.st_mtime_ns:x}-{facts.st_size:x}"
    return Answer(content=path, content_type=_BYTES, etag=tag)


def _resource(item: Item, name: str) -> Answer:
    for file in item.resources():
        if file.name == name:
            return _file(file)
    raise ServiceError(404, "Resource does not exist or is inaccessible.", f"no resource {name}")
