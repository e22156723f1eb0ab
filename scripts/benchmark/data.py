"""The data sets: 100 000 trees (points, 12 attributes) and 20 000 parcels (polygons).

Everything comes from a seed, so that two runs measure the same rows. Coordinates lie on a grid of
1e-8 degrees, as a hosted service keeps them.
"""

import json
import math
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.layer_schema import LayerSchema, ServiceSchema

SEED = 20_260_101
_SPECIES = tuple(f"species {n}" for n in range(120))
CONDITIONS = ("good", "fair", "poor", "dead", None)
_WORDS = tuple(
    "root crown bark leaning pruned dry lightning nest wire path shade old young split".split()  # noqa: SIM905
)

Feature = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One layer of rows. ``features`` are Esri JSON, in the order of their object ids."""

    name: str
    geometry_type: str
    fields: tuple[tuple[str, str], ...]
    count: int

    def features(self) -> Iterator[Feature]:
        rng = random.Random(SEED)
        make = tree if self.name == "trees" else _parcel
        for number in range(1, self.count + 1):
            yield make(rng, number)

    def schema(self) -> tuple[ServiceSchema, LayerSchema]:
        """The service and layer as the engine sees them."""
        service: dict[str, object] = {
            "capabilities": "Create,Query,Update,Delete,Sync",
            "syncEnabled": True,
            "spatialReference": {"wkid": 4326},
            "layers": [{"id": 0, "name": self.name}],
        }
        layer: dict[str, object] = {
            "id": 0,
            "name": self.name,
            "geometryType": self.geometry_type,
            "objectIdField": "OBJECTID",
            "globalIdField": "GlobalID",
            "fields": [{"name": n, "type": f"esriFieldType{t}"} for n, t in self.fields],
            "extent": {
                "xmin": 7.0,
                "ymin": 46.0,
                "xmax": 8.0,
                "ymax": 47.0,
                "spatialReference": {"wkid": 4326},
            },
        }
        url = f"https://localhost/arcgis/rest/services/{self.name}/FeatureServer"
        return ServiceSchema.from_json(service, url), LayerSchema.from_json(layer, service)


TREE_FIELDS = (
    ("OBJECTID", "OID"),
    ("GlobalID", "GlobalID"),
    ("species", "String"),
    ("height", "Double"),
    ("girth", "Double"),
    ("condition", "String"),
    ("planted", "Date"),
    ("inspected", "Date"),
    ("remarks", "String"),
    ("owner", "Integer"),
    ("district", "SmallInteger"),
    ("risk", "SmallInteger"),
    ("plate", "String"),
)
PARCEL_FIELDS = (
    ("OBJECTID", "OID"),
    ("GlobalID", "GlobalID"),
    ("number", "String"),
    ("use", "String"),
    ("area", "Double"),
    ("value", "Double"),
    ("surveyed", "Date"),
    ("remarks", "String"),
)


def trees(count: int = 100_000) -> DataSet:
    return DataSet(name="trees", geometry_type="esriGeometryPoint", fields=TREE_FIELDS, count=count)


def parcels(count: int = 20_000) -> DataSet:
    return DataSet(
        name="parcels", geometry_type="esriGeometryPolygon", fields=PARCEL_FIELDS, count=count
    )


def data_set(name: str, count: int) -> DataSet:
    """The data set of that name with so many rows."""
    return {"trees": trees, "parcels": parcels}[name](count)


def write_replica(data: DataSet, path: Path) -> None:
    """A replica file as ``createReplica`` makes it."""
    header = {"replicaName": "bench", "replicaID": str(uuid.UUID(int=1)), "replicaServerGen": 1}
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(header)[:-1] + ',"layers":[{"id":0,"features":[')
        for number, feature in enumerate(data.features()):
            stream.write(("," if number else "") + json.dumps(feature, separators=(",", ":")))
        stream.write("]}]}")


def write_feature_set(data: DataSet, path: Path) -> None:
    """The same rows as a query's answer, which GDAL's ESRIJSON driver reads."""
    _, layer = data.schema()
    head = {
        "objectIdFieldName": "OBJECTID",
        "geometryType": data.geometry_type,
        "spatialReference": {"wkid": 4326},
        "fields": layer.resource["fields"],
    }
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(head)[:-1] + ',"features":[')
        for number, feature in enumerate(data.features()):
            stream.write(("," if number else "") + json.dumps(feature, separators=(",", ":")))
        stream.write("]}")


def guid(rng: random.Random) -> str:
    return "{" + str(uuid.UUID(int=rng.getrandbits(128), version=4)).upper() + "}"


def grid(value: float) -> float:
    """The value on the service's grid of 1e-8 degrees."""
    return round(value * 1e8) / 1e8


def remark(rng: random.Random) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(rng.randint(0, 6)))


def tree(rng: random.Random, number: int) -> Feature:
    return {
        "attributes": {
            "OBJECTID": number,
            "GlobalID": guid(rng),
            "species": rng.choice(_SPECIES),
            "height": round(rng.uniform(1, 40), 1),
            "girth": round(rng.uniform(0.1, 5), 2),
            "condition": rng.choice(CONDITIONS),
            "planted": rng.randrange(-2_000_000_000, 1_700_000_000) * 1000,
            "inspected": 1_700_000_000_000 + rng.randrange(10**10),
            "remarks": remark(rng),
            "owner": rng.randrange(100_000),
            "district": rng.randrange(40),
            "risk": rng.randrange(5),
            "plate": f"T-{number:07d}",
        },
        "geometry": {"x": grid(rng.uniform(7, 8)), "y": grid(rng.uniform(46, 47))},
    }


def _parcel(rng: random.Random, number: int) -> Feature:
    x, y = rng.uniform(7, 8), rng.uniform(46, 47)
    corners = rng.randint(90, 106)
    ring = []
    for corner in range(corners):  # clockwise, as Esri's exterior rings are
        angle = -2 * math.pi * corner / corners
        radius = rng.uniform(0.0005, 0.001)
        ring.append([grid(x + radius * math.cos(angle)), grid(y + radius * math.sin(angle))])
    ring.append(ring[0])
    return {
        "attributes": {
            "OBJECTID": number,
            "GlobalID": guid(rng),
            "number": f"{rng.randrange(9999)}/{number}",
            "use": rng.choice(_SPECIES),
            "area": round(rng.uniform(100, 10_000), 2),
            "value": float(rng.randrange(10**7)),
            "surveyed": rng.randrange(-(10**9), 1_700_000_000) * 1000,
            "remarks": remark(rng),
        },
        "geometry": {"rings": [ring]},
    }
