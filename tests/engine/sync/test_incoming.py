"""What comes down, decoded by the native core, against the plain reader and decoder."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ProtocolError
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.layer_table import LayerTable, attachment_table, layer_table
from engine.layer_schema import LayerSchema
from engine.service.replica_file import read_header
from engine.sync.incoming import Sinks, Staged, Stager
from engine.sync.rows import RowError, codec_layer
from tests.engine.service.plain_reader import Section, read_rows, scan
from tests.engine.sync.plain_decoder import PlainDecoder

LAYER = LayerSchema.from_json(
    {
        "id": 3,
        "name": "Wells",
        "geometryType": "esriGeometryPoint",
        "objectIdField": "OBJECTID",
        "globalIdField": "GlobalID",
        "hasAttachments": True,
        "fields": [
            {"name": "OBJECTID", "type": "esriFieldTypeOID"},
            {"name": "GlobalID", "type": "esriFieldTypeGlobalID"},
            {"name": "depth", "type": "esriFieldTypeDouble"},
            {"name": "name", "type": "esriFieldTypeString"},
            {"name": "made", "type": "esriFieldTypeDate"},
            {"name": "parent", "type": "esriFieldTypeGUID"},
        ],
    },
    {"capabilities": "Query,Sync,Editing", "spatialReference": {"wkid": 4326}},
)
TABLE = layer_table(LAYER)
PHOTOS = attachment_table(TABLE)


class Seen:
    """Keeps what a stager gives."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Row]] = []
        self.incomplete: list[str] = []
        self.deletes: list[tuple[int, str | int]] = []
        self.fetches: list[Fetch] = []

    def read(self, path: Path) -> Staged:
        def rows(table: LayerTable, batch: list[Row], bounds: bytes | None) -> None:
            self.rows += [(table.number, row) for row in batch]

        def incomplete(_: LayerTable, gids: list[str]) -> None:
            self.incomplete += gids

        def deletes(table: LayerTable, ids: list[str | int]) -> None:
            self.deletes += [(table.number, value) for value in ids]

        sinks = Sinks(
            rows=rows, incomplete=incomplete, deletes=deletes, fetches=self.fetches.extend
        )
        stager = Stager(
            [TABLE, PHOTOS], [codec_layer(LAYER, TABLE, 4326)], path.parent / "spool", sinks
        )
        return stager.read(path, read_header(path))


def gid(rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032X}"
    plain = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return rng.choice([plain, plain.lower(), "{" + plain + "}"])


def feature(rng: random.Random) -> dict[str, Any]:
    def some(*values: object) -> object:
        return rng.choice([None, *values])

    attributes = {
        "OBJECTID": rng.randrange(2**40),
        "GlobalID": gid(rng),
        "depth": some(0.1, -1e300, 5, 5e-324, "deep"),
        "name": some("", "a\u0000b", "Brunnen 😀", "x" * 300),
        "made": some(0, -1, 1_700_000_000_123, -62_135_596_800_000, 10**18),
        "parent": some(gid(rng), "nobody"),
    }
    items = list(attributes.items())
    rng.shuffle(items)
    geometry = rng.choice([None, {"x": 7.25, "y": -0.0}, {"x": "NaN", "y": "NaN"}, {"x": 1}])
    return {"geometry": geometry, "attributes": dict(items)}


def document(rng: random.Random) -> dict[str, Any]:
    ids: list[Any] = [gid(rng) for _ in range(rng.randrange(4))]
    changes = {
        "adds": [feature(rng) for _ in range(rng.randrange(6))],
        "updates": [feature(rng) for _ in range(rng.randrange(6))],
        rng.choice(["deletes", "deleteIds"]): ids,
    }
    entry: dict[str, Any] = {"id": rng.choice([3, 3, 9]), "features": changes}
    whole = {"id": 3, "features": [feature(rng) for _ in range(rng.randrange(6))]}
    root = {"replicaServerGen": rng.randrange(99), "edits": [entry], "strange": [{"a": [1]}]}
    if rng.random() < 0.5:
        root["layers"] = [whole]
    for part in (root, entry):
        pairs = list(part.items())
        rng.shuffle(pairs)
        part.clear()
        part.update(pairs)
    return root


def plain(path: Path) -> tuple[list[Row], int, list[object], set[int]]:
    """(rows, rows that cannot be decoded, deletes, replaced layers), all in plain Python."""
    header = scan(path)
    decoder = PlainDecoder(LAYER, TABLE, 4326)
    rows: list[Row] = []
    wrong = 0
    deletes: list[object] = []
    for item in read_rows(path, header):
        if item.layer_id != LAYER.id:
            continue
        if item.section is Section.DELETES:
            deletes.append(item.value)
            continue
        try:
            rows.append(decoder.row(item.value))
        except RowError:
            wrong += 1
    return rows, wrong, deletes, header.replaced


@pytest.mark.parametrize("seed", range(60))
def test_the_native_core_reads_what_plain_python_reads(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document(random.Random(seed))))
    rows, wrong, deletes, replaced = plain(path)

    seen = Seen()
    staged = seen.read(path)

    assert sorted(map(repr, (row for _, row in seen.rows))) == sorted(map(repr, rows))
    assert staged.undecodable_count == wrong
    normal = {str(value).strip("{}").upper() for value in deletes}
    assert {str(value).strip("{}").upper() for _, value in seen.deletes} == normal
    assert staged.replaced == replaced
    assert not seen.incomplete


def test_a_row_without_all_its_columns_is_to_be_read_whole(tmp_path: Path) -> None:
    some = gid(random.Random(1)).strip("{}").upper()
    update = {"attributes": {"GlobalID": some, "name": "only this"}}
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"edits": [{"id": 3, "features": {"updates": [update]}}]}))

    seen = Seen()
    seen.read(path)

    assert seen.incomplete == ["{" + some + "}"]
    assert not seen.rows


def test_embedded_attachment_data_is_kept_beside_the_queue(tmp_path: Path) -> None:
    photo = {
        "attachmentId": 1,
        "globalId": "{00000000-0000-4000-8000-00000000000A}",
        "parentGlobalId": "{00000000-0000-4000-8000-00000000000B}",
        "name": "p.jpg",
        "contentType": "image/jpeg",
        "size": 5,
        "data": "aGVsbG8=",
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"edits": [{"id": 3, "attachments": {"adds": [photo]}}]}))

    seen = Seen()
    seen.read(path)

    (fetch,) = seen.fetches
    assert fetch.spool_name is not None
    assert (tmp_path / "spool" / fetch.spool_name).read_bytes() == b"hello"
    assert fetch.size_bytes == 5
    assert seen.rows[0][0] == PHOTOS.number


def test_a_file_that_is_cut_off_is_refused_at_every_byte(tmp_path: Path) -> None:
    text = json.dumps(document(random.Random(5))).encode()
    path = tmp_path / "result.json"
    for size in range(len(text)):
        path.write_bytes(text[:size])
        with pytest.raises(ProtocolError, match="result file"):
            read_header(path)
