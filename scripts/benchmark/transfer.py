"""Bytes on the wire, counted where the engine sends and receives, against a server in a thread."""

import asyncio
import gzip
import json
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from engine.clock import SystemClock
from engine.geodatabase import catalog, change_log
from engine.geodatabase.change_log import Edit
from engine.layer_schema import ServiceSchema
from engine.service.download import download as fetch
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.sync import batches
from engine.sync.channels import ApplyEditsChannel, Sending
from native.geometry import register_functions
from scripts.benchmark.delta import names_of, rows_of
from scripts.benchmark.edits import apply_edits, make_edits
from scripts.benchmark.encode import codec

_NOW = "2026-01-01T00:00:00.000Z"
_HOST = "127.0.0.1"


def upload(*, geodatabase: str, folder: str, count: int) -> Callable[[], dict[str, int]]:
    """The edits of a typical visit as the engine sends them, and as full rows in a form."""
    layer = codec("trees")
    edits = make_edits("mix", rows_of(Path(geodatabase), layer), names_of(layer), count)
    with sqlite3.connect(geodatabase) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        register_functions(connection)
        apply_edits(connection, edits, names_of(layer))
    connection.close()

    def work() -> dict[str, int]:
        return asyncio.run(_upload(Path(geodatabase), Path(folder)))

    return work


async def _upload(geodatabase: Path, folder: Path) -> dict[str, int]:
    with _Server.running() as server, sqlite3.connect(geodatabase) as connection:
        server.answer = b'[{"id":0,"addResults":[{"objectId":1,"success":true}]}]'
        async with Session() as session:
            url = f"{server.url}/FeatureServer"
            channel = ApplyEditsChannel(
                FeatureService(url, session), ServiceSchema.from_json({}, url)
            )
            (entry,) = catalog.entries(connection)
            edits = change_log.pending_edits(connection, entry.table)
            batch = batches.prepare(
                connection,
                edits,
                channel,
                folder,
                {0: codec("trees")},
                _NOW,
                whole_rows={},
            )
            assert batch.spool is not None
            await channel.send(
                Sending(spool=batch.spool, target=folder / "answer", submitted=_not_submitted)
            )
            return {
                "edits": batch.spool.stat().st_size,
                "body": session.sent_bytes,
                "peer": len(urlencode({"f": "json", "edits": _full_rows(edits)})),
            }


def download(*, content: str, is_cut: bool) -> Callable[[], dict[str, int]]:
    """What it takes to fetch a file; ``is_cut`` breaks the first connection halfway, to a server
    that compresses nothing, as those that store large files.
    """
    data = Path(content).read_bytes()
    target = Path(f"{content}.fetched")

    def work() -> dict[str, int]:
        return asyncio.run(_download(data, target, is_cut))

    return work


async def _download(data: bytes, target: Path, is_cut: bool) -> dict[str, int]:
    with _Server.running() as server:
        server.answer, server.cuts, server.packs = data, int(is_cut), not is_cut
        async with Session(clock=_Impatient()) as session:
            await fetch(session, f"{server.url}/result", target)
            assert target.read_bytes() == data
            target.unlink()
            return {"received": session.received_bytes, "ranges": server.ranges}


class _Impatient(SystemClock):
    """Pauses between tries are not what is measured."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class _Server(ThreadingHTTPServer):
    """Answers every request with ``answer``: gzipped for who takes it, in part for who asks."""

    answer = b""
    cuts = 0
    packs = True
    ranges = 0

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.server_port}/rest/services/trees"

    @classmethod
    @contextmanager
    def running(cls) -> "Iterator[_Server]":
        with cls((_HOST, 0), _Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server
            finally:
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        body, start = self.server.answer, self.headers.get("Range", "")
        is_part = start.startswith("bytes=")
        self.send_response(206 if is_part else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", '"1"')
        self.send_header("Accept-Ranges", "bytes")
        if is_part:
            self.server.ranges += 1
            at = int(start[6:].split("-")[0])
            self.send_header("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")
            body = body[at:]
        elif self.server.packs and "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
            body = gzip.compress(body, 6, mtime=0)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the table is what a person reads."""


async def _not_submitted(status_url: str) -> None:
    """applyEdits has no job."""


def _full_rows(edits: list[Edit]) -> str:
    features: dict[str, list[object]] = {"adds": [], "updates": [], "deletes": []}
    for edit in edits:
        if edit.row is None:
            features["deletes"].append(edit.global_id)
            continue
        cells = dict(zip(edit.table.row_names, edit.row, strict=True))
        blob = cells.pop("geom")
        x, y = _coordinates(blob)
        feature = {"attributes": cells, "geometry": {"x": x, "y": y}}
        features[f"{edit.operation.value}s"].append(feature)
    return json.dumps([{"id": 0, **features}])


def _coordinates(blob: Any) -> tuple[float, float]:
    x, y = struct.unpack_from("<dd", blob, len(blob) - 16)
    return x, y
