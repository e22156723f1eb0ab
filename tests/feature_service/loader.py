"""The first start: rows and attachments from a data folder into the state file.

A service folder holds `service.json`, one `<layer id>.ndjson` of Esri features per layer, and
`attachments/<layer id>/<parent GlobalID>/<file>`.
"""

import json
import mimetypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .attachments import Attachments
from .definition import Layer, Service, read_service
from .field import Value
from .geometry import intake
from .guid import canonical
from .problem import DataError, EditError
from .projection import mover, wkid_of
from .rows import Rows, Stamp
from .store import FIRST_GENERATION, Store

_STAMP = Stamp(generation=FIRST_GENERATION, origin="")


def open_service(folder: Path, mint: Callable[[], str]) -> tuple[Service, Store]:
    """The service of a folder and its state, loaded if this is its first start."""
    state = folder / "state.sqlite"
    if not state.exists():
        read_service(folder)
    store = Store(state)
    try:
        if store.is_new:
            with store.transaction():
                _load(folder, store, mint)
        return store.definition(folder.name), store
    except BaseException:
        store.close()
        raise


def _load(folder: Path, store: Store, mint: Callable[[], str]) -> None:
    service = read_service(folder)
    store.create(service)
    for layer in service.layers.values():
        file = folder / f"{layer.id}.ndjson"
        if file.exists():
            _load_rows(file, store, service, layer, mint)
        pictures = folder / "attachments" / str(layer.id)
        if pictures.is_dir():
            _load_attachments(pictures, store, layer, mint)
    store.set_meta("loaded", "1")


def _load_rows(
    file: Path, store: Store, service: Service, layer: Layer, mint: Callable[[], str]
) -> None:
    rows = Rows(store, layer)
    used: set[int] = set()
    spare = _largest_oid(file, layer) + 1

    def versions() -> Iterator[tuple[Any, ...]]:
        nonlocal spare
        reader = _Reader(service, layer)
        for number, feature in _features(file):
            try:
                oid, gid, values, shape = reader.read(feature)
            except EditError as error:
                raise DataError(f"{file}: line {number}: {error.description}") from error
            if oid is None or oid in used:
                oid, spare = spare, spare + 1
            used.add(oid)
            yield rows.version(oid, gid or mint(), values, shape, _STAMP)

    try:
        store.run_many(rows.insert_sql, versions())
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{file}: cannot be loaded ({error})") from error
    store.run("UPDATE layer_state SET next_oid = ? WHERE layer = ?", max(spare, 1), layer.id)


def _features(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                feature = json.loads(line)
            except ValueError as error:
                raise DataError(f"{file}: line {number}: is not JSON ({error})") from error
            if not isinstance(feature, dict) or not isinstance(feature.get("attributes"), dict):
                raise DataError(f"{file}: line {number}: attributes is missing")
            yield number, feature


def _largest_oid(file: Path, layer: Layer) -> int:
    name = layer.object_id_field
    found = (feature["attributes"].get(name) for _, feature in _features(file))
    return max((oid for oid in found if isinstance(oid, int)), default=0)


class _Reader:
    """Turns the features of a file into the columns of a row version."""

    def __init__(self, service: Service, layer: Layer) -> None:
        self._layer = layer
        self._target = wkid_of(service.spatial_reference) or 0
        self._intake = None if layer.is_table else intake(layer, None, None)

    def read(
        self, feature: dict[str, Any]
    ) -> tuple[int | None, str | None, dict[str, Value], dict[str, Any] | None]:
        layer = self._layer
        values: dict[str, Value] = {}
        oid: int | None = None
        gid: str | None = None
        for name, value in feature["attributes"].items():
            field = layer.by_name.get(name.lower())
            if field is None:
                raise EditError(1000, f"attributes.{name} is no field of {layer.name}")
            if field.name == layer.object_id_field:
                oid = int(value) if value is not None else None
            elif field.name == layer.global_id_field:
                gid = canonical(value)
            else:
                values[name.lower()] = field.stored(value, checks_domain=False)
        geometry = feature.get("geometry")
        if geometry is None or self._intake is None:
            return oid, gid, values, None
        move = mover(wkid_of(geometry.get("spatialReference")), self._target)
        keeper = self._intake if move is None else intake(layer, move, None)
        return oid, gid, values, keeper.keep(geometry)


def _load_attachments(folder: Path, store: Store, layer: Layer, mint: Callable[[], str]) -> None:
    attachments = Attachments(store, layer)
    for parent in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        gid = canonical(parent.name)
        if gid is None:
            raise DataError(f"{parent}: the folder name is not a GlobalID")
        for file in sorted(entry for entry in parent.iterdir() if entry.is_file()):
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            attachments.add(
                gid=mint(),
                parent_gid=gid,
                name=file.name,
                content_type=kind,
                keywords="",
                data=file.read_bytes(),
                stamp=_STAMP,
            )
