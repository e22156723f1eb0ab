"""Uploaded files waiting to be used: whole, or in parts until they are committed.

Source: ArcGIS REST API, "Uploads", "Upload", "Register", "Upload part", "Commit", "Item".
"""

import json
import shutil
from pathlib import Path
from typing import Any

from .guid import bare
from .hosted import Hosted
from .parameters import Parameters, SentFile
from .problem import ServiceError, invalid_parameter


def info(hosted: Hosted) -> dict[str, Any]:
    """The info resource: how large a file may be, in megabytes."""
    return {"maxUploadFileSize": hosted.service.document.get("maxUploadFileSize", 2048)}


def refusal_of(hosted: Hosted, name: str, size_bytes: int) -> str:
    """Why a file is not taken, empty when it is; attachments have the same limits."""
    allowed = hosted.service.upload_extensions
    if allowed and Path(name).suffix.lower().lstrip(".") not in allowed:
        return f"The file type of '{name}' is not allowed."
    if size_bytes > hosted.service.max_upload_bytes:
        largest = hosted.service.max_upload_bytes
        return f"The file has {size_bytes} bytes and may have {largest}."
    return ""


def _check(hosted: Hosted, what: str, name: str, size_bytes: int) -> None:
    why = refusal_of(hosted, name, size_bytes)
    if why:
        raise ServiceError(400, f"Unable to {what} item.", why)


def upload(hosted: Hosted, parameters: Parameters) -> dict[str, Any]:
    """Take a whole file."""
    sent = _only_file(parameters)
    name = parameters.text("itemName") or sent.filename
    _check(hosted, "upload", sent.filename, sent.path.stat().st_size)
    item = _new_item(hosted, name, parameters, True)
    target = _file(hosted, item["itemID"])
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(sent.path, target)
    _save(hosted, item)
    return {"success": True, "item": item}


def register(hosted: Hosted, parameters: Parameters) -> dict[str, Any]:
    """Announce a file that will come in parts."""
    name = parameters.text("itemName")
    if not name:
        raise invalid_parameter("itemName", "the name of the file is missing")
    _check(hosted, "register", name, 0)
    item = _new_item(hosted, name, parameters, False)
    _save(hosted, item)
    return {"success": True, "item": item}


def upload_part(hosted: Hosted, item_id: str, parameters: Parameters) -> dict[str, Any]:
    """Take one part of a registered file."""
    item = _item(hosted, item_id)
    if item["committed"]:
        raise ServiceError(400, "Unable to upload part.", f"item {item_id} is committed")
    part = parameters.integer("partId")
    if part is None or part < 1:
        raise invalid_parameter("partId", "parts are numbered from 1")
    target = _part(hosted, item["itemID"], part)
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(_only_file(parameters).path, target)
    return {"success": True}


def parts(hosted: Hosted, item_id: str) -> dict[str, Any]:
    """Which parts of a registered file have come."""
    item = _item(hosted, item_id)
    return {"parts": [str(part) for part in _parts_present(hosted, item["itemID"])]}


def commit(hosted: Hosted, item_id: str, parameters: Parameters) -> dict[str, Any]:
    """Join the parts to the file they are."""
    item = _item(hosted, item_id)
    present = _parts_present(hosted, item["itemID"])
    wanted = parameters.integers("parts") or present
    missing = [part for part in wanted if part not in present]
    if missing or not wanted:
        raise ServiceError(400, "Unable to commit item.", f"parts missing: {missing or 'all'}")
    size_bytes = sum(_part(hosted, item["itemID"], part).stat().st_size for part in wanted)
    _check(hosted, "commit", item["itemName"], size_bytes)
    with _file(hosted, item["itemID"]).open("wb") as whole:
        for part in wanted:
            with _part(hosted, item["itemID"], part).open("rb") as piece:
                shutil.copyfileobj(piece, whole)
    for part in present:
        _part(hosted, item["itemID"], part).unlink()
    item["committed"] = True
    _save(hosted, item)
    return {"success": True, "item": item}


def describe(hosted: Hosted, item_id: str) -> dict[str, Any]:
    """The item resource."""
    return _item(hosted, item_id)


def listing(hosted: Hosted) -> dict[str, Any]:
    """Every item."""
    found = hosted.store.run("SELECT document FROM upload ORDER BY id").fetchall()
    return {"uploads": [json.loads(text) for (text,) in found]}


def delete(hosted: Hosted, item_id: str) -> dict[str, Any]:
    """Forget an item and its bytes."""
    item = _item(hosted, item_id)
    for file in [_file(hosted, item["itemID"]), *_part_files(hosted, item["itemID"])]:
        file.unlink(missing_ok=True)
    with hosted.store.transaction():
        hosted.store.run("DELETE FROM upload WHERE id = ?", bare(item["itemID"]))
    return {"success": True}


def purge(hosted: Hosted) -> None:
    """Remove every item, as an administrator's rule for old ones does."""
    for item in listing(hosted)["uploads"]:
        delete(hosted, item["itemID"])


def uploaded_bytes(hosted: Hosted, item_id: str) -> bytes | None:
    """The bytes of a committed item; None when there is none of that id."""
    found = hosted.store.one("SELECT document FROM upload WHERE id = ?", bare(item_id))
    if found is None or not json.loads(found[0])["committed"]:
        return None
    return _file(hosted, json.loads(found[0])["itemID"]).read_bytes()


def _only_file(parameters: Parameters) -> SentFile:
    sent = parameters.file("file") or next(iter(parameters.files()), None)
    if sent is None:
        raise invalid_parameter("file", "the file part is missing")
    return sent


def _new_item(hosted: Hosted, name: str, parameters: Parameters, committed: bool) -> dict[str, Any]:
    return {
        "itemID": f"i{bare(hosted.mint())}",
        "itemName": name,
        "description": parameters.text("description"),
        "date": hosted.clock.now_ms(),
        "committed": committed,
    }


def _save(hosted: Hosted, item: dict[str, Any]) -> None:
    with hosted.store.transaction():
        hosted.store.run(
            "INSERT OR REPLACE INTO upload VALUES (?, ?)", bare(item["itemID"]), json.dumps(item)
        )


def _item(hosted: Hosted, item_id: str) -> dict[str, Any]:
    found = hosted.store.one("SELECT document FROM upload WHERE id = ?", bare(item_id))
    if found is None:
        raise ServiceError(404, "Item not found.", f"there is no upload {item_id}")
    return dict(json.loads(found[0]))


def _file(hosted: Hosted, item_id: str) -> Path:
    return hosted.folder / "uploads" / item_id


def _part(hosted: Hosted, item_id: str, part: int) -> Path:
    return hosted.folder / "uploads" / f"{item_id}.{part}"


def _part_files(hosted: Hosted, item_id: str) -> list[Path]:
    return list((hosted.folder / "uploads").glob(f"{item_id}.*"))


def _parts_present(hosted: Hosted, item_id: str) -> list[int]:
    return sorted(int(file.suffix[1:]) for file in _part_files(hosted, item_id))
