"""Faults that strike the state of a service: schema, rows, replicas, generations."""

import json
from collections.abc import Mapping
from typing import Any

from .clock import SkewedClock
from .definition import Layer, Service, checked_service
from .fault import Fault
from .hosted import Hosted
from .problem import ServiceError
from .replica import Replicas
from .rows import Stamp
from .store import column, table
from .tracking import forget_changes
from .uploads import purge


def strike(hosted: Hosted, fault: Fault) -> None:
    """Do to the service what the fault says; others than these do nothing here."""
    match fault.kind:
        case "replica-unregistered":
            with hosted.store.transaction():
                for replica in Replicas(hosted.store).every():
                    Replicas(hosted.store).remove(replica)
        case "uploads-purged":
            purge(hosted)
        case "generation-overtaken":
            with hosted.store.transaction():
                newest = hosted.store.next_generation(hosted.clock.now_ms())
                for layer_id in hosted.service.layers:
                    forget_changes(hosted, layer_id, newest)
        case "schema-changed":
            change_schema(hosted, fault.change)
        case "strange-row":
            add_strange_row(hosted, fault.change)
        case "clock-skewed":
            hosted.clock = SkewedClock(hosted.clock, fault.skew_s)
        case "results-missing" | "results-reversed":
            hosted.tells = "few" if fault.kind == "results-missing" else "reversed"
        case "job-failed":
            hosted.failure = ServiceError(500, "Unable to complete operation.", "The job failed.")


def change_schema(hosted: Hosted, change: Mapping[str, Any]) -> None:
    """Change one layer of a running service.

    `{"layer": 0, "add": <field>}`, `{"layer": 0, "remove": "name"}` or
    `{"layer": 0, "field": "name", "set": {"domain": …}}`; `{"layer": 0, "members": {…}}`
    changes the layer itself, `{"layer": 0, "drop": true}` takes it off the service and out of
    the replicas.
    """
    document = json.loads(json.dumps(hosted.service.document))
    layer = hosted.layer(change.get("layer", 0))
    if change.get("drop"):
        _drop_layer(hosted, document, layer)
        return
    entry = next(
        one
        for one in [*(document.get("layers") or []), *(document.get("tables") or [])]
        if one["id"] == layer.id
    )
    added = change.get("add")
    if added:
        entry["fields"].append(added)
    removed = str(change.get("remove") or "").lower()
    if removed:
        entry["fields"] = [one for one in entry["fields"] if one["name"].lower() != removed]
    for one in entry["fields"]:
        if one["name"].lower() == str(change.get("field") or "").lower():
            one.update(change.get("set") or {})
    entry.update(change.get("members") or {})
    service = checked_service(hosted.service.name, document, "the changed service")
    with hosted.store.transaction():
        if added:
            _add_column(hosted, service, service.layers[layer.id], added)
        hosted.store.save_definition(service)
    hosted.service = service


def _drop_layer(hosted: Hosted, document: dict[str, Any], layer: Layer) -> None:
    for member in ("layers", "tables"):
        document[member] = [one for one in document.get(member) or [] if one["id"] != layer.id]
    service = checked_service(hosted.service.name, document, "the changed service")
    with hosted.store.transaction():
        replicas = Replicas(hosted.store)
        for replica in replicas.every():
            replica.queries = [query for query in replica.queries if query.layer_id != layer.id]
            replicas.save(replica)
        hosted.store.save_definition(service)
    hosted.service = service


def _add_column(hosted: Hosted, service: Service, layer: Layer, added: Mapping[str, Any]) -> None:
    name = column(layer, str(added["name"]))
    present = hosted.store.run(f"PRAGMA table_info({table(layer)})").fetchall()
    if name.strip('"') in {row[1] for row in present}:
        hosted.store.run(f"UPDATE {table(layer)} SET {name} = NULL")
    else:
        hosted.store.run(f"ALTER TABLE {table(layer)} ADD COLUMN {name}")
    if added.get("defaultValue") is not None:
        hosted.store.run(f"UPDATE {table(layer)} SET {name} = ?", added["defaultValue"])


def add_strange_row(hosted: Hosted, change: Mapping[str, Any]) -> None:
    """Add a row past every check: `{"layer": 0, "attributes": {…}, "geometry": {…}}`."""
    layer = hosted.layer(change.get("layer", 0))
    rows = hosted.rows(layer)
    values = {str(name).lower(): value for name, value in change.get("attributes", {}).items()}
    with hosted.store.transaction():
        stamp = Stamp(generation=hosted.store.next_generation(hosted.clock.now_ms()), origin="")
        gid = values.pop(layer.global_id_field.lower(), None) or hosted.mint()
        rows.insert(rows.take_oid(), gid, values, change.get("geometry"), stamp)
