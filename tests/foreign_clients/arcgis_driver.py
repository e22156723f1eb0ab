"""PyPI `arcgis`: queries, edits, attachments, replicas, uploads and extractChanges.

Run by `scripts/foreign-clients` with a service url; has a virtual environment of its own.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from arcgis.features import FeatureLayerCollection  # type: ignore[import-not-found] # foreign
from arcgis.gis._impl._con import Connection  # type: ignore[import-not-found] # foreign
from report import Report  # type: ignore[import-not-found] # beside this file when it is run

URL = sys.argv[1]


class PortalLess(Connection):  # type: ignore[misc] # the foreign class is untyped
    """The few attributes a collection asks of its portal, for a server that has none."""

    version = [2024, 1]  # noqa: RUF012 - compared with lists by the foreign class
    is_arcgisonline = False
    _is_agol = False
    url = URL
    resturl = URL
    properties: dict[str, Any] = {}  # noqa: RUF012 - shaped by the foreign class

    @property
    def session(self) -> Any:
        return self._session

    @property
    def _con(self) -> Any:
        return self

    con = _con
    _portal = _con


report = Report()
collection = FeatureLayerCollection(URL, PortalLess(baseurl=URL, all_ssl=False))
hydrants, pipes = collection.layers[0], collection.layers[1]
visits = collection.tables[0]


def _oids(layer: Any, where: str) -> list[int]:
    found = layer.query(where=where, return_ids_only=True)
    return list(found["objectIds"])


def read() -> None:
    report.equal("layers", next(layer.properties.name for layer in collection.layers), "Hydrants")
    report.equal("tables", visits.properties.name, "Visits")
    report.check("sync is enabled", lambda: collection.properties.syncEnabled)
    report.equal("ids", _oids(hydrants, "serial < 4"), [1, 2, 3])
    report.equal("count", hydrants.query(where="1=1", return_count_only=True), 9)
    found = hydrants.query(where="OBJECTID = 1", out_fields="name")
    report.equal("attributes", found.features[0].attributes["name"], "H1")
    report.begin("related")
    report.equal("related", _related(), ["visit 1", "visit 2"])


def _related() -> list[str]:
    found = hydrants.query_related_records(object_ids="1", relationship_id=0, out_fields="*")
    records = found["relatedRecordGroups"][0]["relatedRecords"]
    return [record["attributes"]["note"] for record in records]


def edit() -> None:
    report.begin("edit")
    point = {"geometry": {"x": 1.0, "y": 2.0}, "attributes": {"name": "made", "serial": 500}}
    added = hydrants.edit_features(adds=[point])["addResults"][0]
    report.equal("add", added["success"], True)
    oid = added["objectId"]
    changed = {"attributes": {"OBJECTID": oid, "name": "changed"}}
    hydrants.edit_features(updates=[changed])
    report.equal("update", _oids(hydrants, "name = 'changed'"), [oid])
    hydrants.edit_features(deletes=str(oid))
    report.equal("delete", _oids(hydrants, "name = 'changed'"), [])
    report.check("delete by an empty where keeps the rows", lambda: _delete_nothing())


def _delete_nothing() -> bool:
    with contextlib.suppress(Exception):
        hydrants.delete_features(where="")
    return len(_oids(hydrants, "1=1")) == 9


def attach() -> None:
    report.begin("attachments")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "note.txt"
        file.write_text("hello")
        hydrants.attachments.add(2, str(file))
        listed = hydrants.attachments.get_list(2)
        report.equal(
            "attachment", [(one["name"], one["size"]) for one in listed], [("note.txt", 5)]
        )
        got = hydrants.attachments.download(2, listed[0]["id"], folder)
        report.equal("attachment bytes", Path(got[0]).read_text(), "hello")
        hydrants.attachments.delete(2, listed[0]["id"])
        report.equal("attachment is gone", hydrants.attachments.get_list(2), [])


def synchronize() -> None:
    report.begin("replica")
    every = {str(layer): {"queryOption": "all"} for layer in (0, 1)}
    made = collection.replicas.create(
        replica_name="foreign",
        layers=[0, 1],
        layer_queries=every,
        geometry_filter={
            "geometry": {"xmin": -1e4, "ymin": -1e4, "xmax": 1e4, "ymax": 1e4},
            "geometryType": "esriGeometryEnvelope",
        },
        transport_type="esriTransportTypeEmbedded",
        data_format="json",
        sync_model="perLayer",
        target_type="client",
    )
    report.equal("createReplica", len(made["layers"][0]["features"]), 9)
    replica = made["replicaID"]
    report.check("replicas", lambda: any(one["replicaID"] == replica for one in _replicas()))
    report.equal("replica info", collection.replicas.get(replica)["replicaName"], "foreign")
    guid = "{12345678-1234-4123-8123-123456789012}"
    add = {"geometry": {"x": 3, "y": 3}, "attributes": {"GlobalID": guid, "name": "synced"}}
    layers = [
        {"id": entry["id"], "serverGen": entry["serverGen"], "syncDirection": "bidirectional"}
        for entry in made["layerServerGens"]
    ]
    report.begin("sync")
    pipes.edit_features(updates=[{"attributes": {"OBJECTID": 1, "label": "new"}}])
    answer = collection.replicas.synchronize(
        replica_id=replica,
        transport_type="esriTransportTypeEmbedded",
        edits=[{"id": 0, "features": {"adds": [add], "updates": [], "deletes": []}}],
        return_ids_for_adds=True,
        sync_layers=layers,
        data_format="json",
    )
    edits = {entry["id"]: entry for entry in answer["edits"]}
    report.equal("upload", edits[0]["addResults"][0]["globalId"], guid)
    updated = edits[1]["features"]["updates"]
    report.equal("download", [one["attributes"]["label"] for one in updated], ["new"])
    report.begin("replica")
    report.equal("unRegister", collection.replicas.unregister(replica), {"success": True})
    hydrants.edit_features(deletes=str(_oids(hydrants, "name = 'synced'")[0]))


def _replicas() -> list[dict[str, Any]]:
    return list(collection.replicas.get_list())


def create_by_job() -> None:
    report.begin("jobs")
    with tempfile.TemporaryDirectory() as folder:
        answer = collection.replicas.create(
            replica_name="job",
            layers=[0],
            transport_type="esriTransportTypeUrl",
            data_format="json",
            sync_model="perLayer",
            target_type="client",
            asynchronous=True,
            wait=True,
            out_path=folder,
        )
        document = json.loads(Path(answer["download_url"]).read_text(encoding="utf-8"))
    report.equal("createReplica by a job", document["replicaName"], "job")


def extract() -> None:
    report.begin("changes")
    generation = collection.properties.changeTrackingInfo.layerServerGens[0]["serverGen"]
    hydrants.edit_features(updates=[{"attributes": {"OBJECTID": 3, "name": "seen"}}])
    answer = collection.extract_changes(
        layers=[0],
        layer_servergen=[{"id": 0, "serverGen": generation}],
        return_inserts=True,
        return_updates=True,
        return_deletes=True,
        data_format="json",
    )
    updated = answer["edits"][0]["features"]["updates"]
    report.equal("extractChanges", [one["attributes"]["name"] for one in updated], ["seen"])
    compared = collection.extract_changes(
        layers=[0],
        servergen=[generation],
        return_updates=True,
        fields_to_compare=["name"],
        data_format="json",
    )
    found = compared["edits"][0]["features"]["fieldUpdates"]
    report.check("compared fields", lambda: [one["attributes"]["OBJECTID"] for one in found])


def upload() -> None:
    report.begin("uploads")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "edits.json"
        file.write_bytes(b"x" * 11_000_000)
        item = collection.upload(str(file))
    report.check("upload in parts", lambda: isinstance(item, str) and item.startswith("i"))
    report.begin("changes")
    report.check("cleanupChangeTracking", lambda: _clean_up())


def _clean_up() -> bool:
    return bool(collection.replicas.cleanup_change_tracking([0], 1, "days"))


def sign_in() -> None:
    report.begin("token")
    guarded = sys.argv[2]
    given = PortalLess(baseurl=guarded, all_ssl=False).post(
        f"{guarded.split('/rest/')[0]}/tokens/",
        {
            "username": "ann",
            "password": "secret",
            "client": "requestip",
            "f": "json",
        },
    )
    known = PortalLess(baseurl=guarded, all_ssl=False, token=given["token"])
    layer = FeatureLayerCollection(guarded, known).layers[0]
    report.equal("with a token in a header", layer.query(return_count_only=True), 9)
    stranger = PortalLess(baseurl=guarded, all_ssl=False, token="wrong")
    report.check("with a wrong token", lambda: _is_refused(guarded, stranger))


def _is_refused(url: str, session: Any) -> bool:
    try:
        FeatureLayerCollection(url, session).layers[0].query(return_count_only=True)
    except Exception as error:
        return "498" in str(error) or "token" in str(error).lower()
    return False


for part in (read, edit, attach, synchronize, create_by_job, extract, upload, sign_in):
    report.part(part)
report.finish()
