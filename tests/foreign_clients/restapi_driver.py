"""PyPI `bmi-arcgis-restapi`: queries, edits and replicas, all of them by GET.

Run by `scripts/foreign-clients` with a service url; has a virtual environment of its own.
"""

import sys
from typing import Any

import restapi  # type: ignore[import-not-found] # foreign
from report import Report  # type: ignore[import-not-found] # beside this file when it is run

report = Report()
service = restapi.FeatureService(sys.argv[1])
hydrants = restapi.FeatureLayer(f"{sys.argv[1]}/0")


def _name(feature: Any) -> str:
    return str(feature.properties["name"])


def _names(where: str) -> list[str]:
    return sorted(_name(one) for one in hydrants.query(where=where).features)


def read() -> None:
    report.equal("layers", next(layer.name for layer in service.layers), "Hydrants")
    report.equal("query", _names("serial < 3"), ["H1", "H2"])
    report.equal("ids", sorted(hydrants.getOIDs("serial > 7")), [8, 9])


def edit() -> None:
    report.begin("edit")
    added = hydrants.addFeatures(
        [{"geometry": {"x": 1, "y": 1}, "attributes": {"name": "rest", "serial": 300}}]
    )
    oid = added.addResults[0]["objectId"]
    report.equal("add", _names("serial = 300"), ["rest"])
    hydrants.updateFeatures([{"attributes": {"OBJECTID": oid, "name": "rest2"}}])
    report.equal("update", _names("serial = 300"), ["rest2"])
    hydrants.deleteFeatures(oids=str(oid))
    report.equal("delete", _names("serial = 300"), [])


def synchronize() -> None:
    report.begin("replica")
    made: Any = service.createReplica(
        layers=[0, 1],
        replicaName="rest",
        transportType="esriTransportTypeEmbedded",
        returnReplicaObject=False,
    )
    replica = made["replicaID"]
    report.equal("createReplica", len(made["layers"][0]["features"]), 9)
    report.check("replicas", lambda: replica in [one.replicaID for one in service.replicas])
    report.begin("sync")
    hydrants.updateFeatures([{"attributes": {"OBJECTID": 4, "name": "moved on"}}])
    answer: Any = service.syncReplica(
        replica,
        replicaServerGen=made["replicaServerGen"],
        transportType="esriTransportTypeEmbedded",
        returnIdsForAdds=True,
        syncDirection="bidirectional",
    )
    updated = answer["edits"][0]["features"]["updates"]
    report.equal("download", [one["attributes"]["name"] for one in updated], ["moved on"])
    report.begin("replica")
    report.equal("unRegister", service.unRegisterReplica(replica)["success"], True)


for part in (read, edit, synchronize):
    report.part(part)
report.finish()
