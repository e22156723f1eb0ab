"""Bad input: one clear line each, the right exit code, nothing half-written, no traceback."""

import json
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.device.conftest import Command, Ended, Taken

Answer = tuple[int, str, str]
"""Status, content type, body."""


def is_one_line(ended: Ended) -> bool:
    """Nothing on standard output, one line on standard error that is no traceback."""
    return (
        not ended.out
        and ended.err.startswith("fieldsync: ")
        and ended.err.count("\n") == 1
        and "Traceback" not in ended.err
        and "fault in fieldsync" not in ended.err
    )


@contextmanager
def server(answer: Callable[[str], Answer]) -> Iterator[str]:
    """A web server on loopback that gives ``answer(path)`` to everything; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, kind, text = answer(self.path.split("?")[0])
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


KOOP_SERVICE: dict[str, Any] = {
    "currentVersion": 11.2,
    "fullVersion": "11.2.0",
    "capabilities": "Query",
    "hasVersionedData": False,
    "maxRecordCount": 2000,
    "supportsDisconnectedEditing": False,
    "syncEnabled": False,
    "spatialReference": {"wkid": 4326, "latestWkid": 4326},
    "layers": [{"id": 0, "name": "pts", "geometryType": "esriGeometryPoint"}],
    "tables": [],
}
KOOP_FIELDS = [{"name": "OBJECTID", "type": "esriFieldTypeOID", "alias": "OBJECTID"}]
KOOP_LAYER: dict[str, Any] = {
    "id": 0,
    "name": "pts",
    "type": "Feature Layer",
    "geometryType": "esriGeometryPoint",
    "capabilities": "Query",
    "globalIdField": "",
    "objectIdField": "OBJECTID",
    "uniqueIdField": {"name": "OBJECTID", "isSystemMaintained": True},
    "fields": KOOP_FIELDS,
}


def koop(path: str) -> Answer:
    """What Koop answers: the layer for operations that it does not know, HTML for others."""
    if path.endswith("/applyEdits"):
        return 404, "text/html", "<!DOCTYPE html><pre>Cannot POST /applyEdits</pre>"
    return (
        200,
        "application/json",
        json.dumps(KOOP_SERVICE if path.endswith("/FeatureServer") else KOOP_LAYER),
    )


def koop_that_claims_sync(path: str) -> Answer:
    """As above behind a proxy that added Sync: the operations still answer with the layer."""
    if path.endswith("/FeatureServer"):
        claims = KOOP_SERVICE | {"syncEnabled": True, "capabilities": "Query,Sync"}
        return 200, "application/json", json.dumps(claims)
    identity = {"name": "GlobalID", "type": "esriFieldTypeGlobalID", "alias": "GlobalID"}
    layer = KOOP_LAYER | {"globalIdField": "GlobalID", "fields": [*KOOP_FIELDS, identity]}
    return 200, "application/json", json.dumps(layer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: (200, "text/html", "<html>Hotel Wi-Fi: log in</html>"), "is no feature service"),
        (lambda _: (404, "text/html", "<html>not here</html>"), "answered with HTTP 404"),
        (lambda _: (200, "application/json", "[]"), "is no feature service"),
        (lambda _: (200, "application/json", "{}"), "is no feature service"),
        (lambda _: (200, "application/json", '{"currentVersion": 11, "folders": []}'), "is no fea"),
        (lambda _: (200, "application/json", "{"), "is no feature service"),
        (lambda _: (200, "text/plain", ""), "is no feature service"),
        (koop, "Sync"),
        (koop_that_claims_sync, ""),
    ],
    ids=["portal", "404", "list", "empty", "root", "cut", "nothing", "koop", "koop-claims-sync"],
)
def test_what_is_no_feature_service_is_refused(
    fieldsync: Command, tmp_path: Path, answer: Callable[[str], Answer], words: str
) -> None:
    with server(answer) as url:
        ended = fieldsync("take", f"{url}/rest/services/pts/FeatureServer", tmp_path / "map")

    assert ended.code == 1
    assert is_one_line(ended), ended
    assert words in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("status", [500, 503])
def test_a_service_in_trouble_is_to_be_tried_again(
    fieldsync: Command, tmp_path: Path, status: int
) -> None:
    with server(lambda _: (status, "text/html", "<html>busy</html>")) as url:
        ended = fieldsync("take", f"{url}/FeatureServer", tmp_path / "map")

    assert ended.code == 75
    assert is_one_line(ended), ended


def test_a_service_that_wants_a_token_is_a_matter_of_permission(
    fieldsync: Command, tmp_path: Path
) -> None:
    error = {"error": {"code": 499, "message": "Token Required", "details": []}}
    with server(lambda _: (200, "application/json", json.dumps(error))) as url:
        ended = fieldsync("take", f"{url}/FeatureServer", tmp_path / "map", "--json")

    assert ended.code == 4
    assert ended.json["error"]["code"] == "authentication"
    assert ended.json["error"]["service_code"] == 499


def test_nobody_there_is_no_link(fieldsync: Command, tmp_path: Path) -> None:
    with server(koop) as url:
        pass  # now nothing listens on that port

    ended = fieldsync("take", f"{url}/FeatureServer", tmp_path / "map")

    assert ended.code == 5
    assert is_one_line(ended), ended
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url", ["", "park", "ftp://example.org/FeatureServer", "http://", "http:/x"]
)
def test_what_is_no_url_is_refused(fieldsync: Command, tmp_path: Path, url: str) -> None:
    ended = fieldsync("take", url, tmp_path / "map")

    assert ended.code in (1, 2)
    assert is_one_line(ended), ended


def test_a_service_without_sync_is_refused(
    fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    ended = fieldsync("take", services["closed"], tmp_path / "map")

    assert ended.code == 1
    assert is_one_line(ended), ended
    assert "Sync" in ended.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--area", "100,-60,101,-59"), "outside the data"),
        (("--area", "inf,inf,inf,inf"), "the area"),
        (("--where", "0:nope = 1"), "nope = 1"),
        (("--where", "0:note = 'x"), "note = 'x"),
        (("--where", "0:1=1", "--where", "0:2=2"), "two --where for one layer"),
        (("--where", "1:1=1", "--layers", "0"), "layer 1, which is not taken"),
        (("--layers", "0,7,8"), "no layer 7, 8. It has 0, 1, 2"),
    ],
)
def test_a_choice_that_the_service_does_not_have_is_refused(
    fieldsync: Command,
    services: dict[str, str],
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    ended = fieldsync("take", services["park"], tmp_path / "map", *options)

    assert ended.code == 2
    assert is_one_line(ended), ended
    assert words in ended.err
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_map_is_never_overwritten(
    fieldsync: Command, services: dict[str, str], taken: Taken
) -> None:
    before = {p.name: p.read_bytes() for p in taken.folder.iterdir() if p.is_file()}

    ended = fieldsync("take", services["park"], taken.folder)

    assert ended.code == 1
    assert is_one_line(ended), ended
    assert "is not empty" in ended.err
    assert {p.name: p.read_bytes() for p in taken.folder.iterdir() if p.is_file()} == before


def test_a_file_is_no_place_for_a_map(
    fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    place = tmp_path / "file"
    place.write_text("mine", encoding="utf-8")

    for target in (place, place / "map"):
        ended = fieldsync("take", services["park"], target)

        assert ended.code in (1, 4)
        assert is_one_line(ended), ended
    assert place.read_text(encoding="utf-8") == "mine"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("limit_bytes", [1_000, 200_000])
def test_a_full_disk_leaves_nothing_behind(
    services: dict[str, str], tmp_path: Path, limit_bytes: int
) -> None:
    """Files may not grow over a limit: every write beyond it fails, as on a full disk."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))\n"
        "from device.cli import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "take", services["park"], str(tmp_path / "map")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit_bytes
    assert done.returncode == 1, done.stderr
    assert is_one_line(Ended(done.returncode, done.stdout, done.stderr)), done.stderr
    assert not list(tmp_path.iterdir())


GARBAGE = {
    "text": b"this is no GeoPackage\n" * 100,
    "empty": b"",
    "header": b"SQLite format 3\0",
}


@pytest.mark.parametrize("verb", ["info", "edits", "sync", "register", "unregister"])
@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_a_file_that_is_no_geopackage_is_told_and_kept(
    fieldsync: Command, taken: Taken, verb: str, content: bytes
) -> None:
    taken.geopackage.write_bytes(content)

    ended = fieldsync(verb, taken.folder)

    assert ended.code == 1
    assert is_one_line(ended), ended
    assert "park.gpkg" in ended.err
    assert taken.geopackage.read_bytes() == content


@pytest.mark.parametrize("verb", ["info", "edits", "sync", "repair", "register", "unregister"])
def test_a_folder_without_a_map_is_wrong_usage(
    fieldsync: Command, tmp_path: Path, verb: str
) -> None:
    place = tmp_path / "file"
    place.write_text("x", encoding="utf-8")

    for folder in (tmp_path, tmp_path / "missing", place):
        ended = fieldsync(verb, folder)

        assert ended.code == 2
        assert is_one_line(ended), ended


@pytest.mark.parametrize("name", ["package.info", "map.json"])
@pytest.mark.parametrize("content", ["{", "[]", "{}", "\0"])
def test_a_damaged_description_is_told(
    fieldsync: Command, taken: Taken, name: str, content: str
) -> None:
    (taken.folder / name).write_text(content, encoding="utf-8")

    ended = fieldsync("info", taken.folder)

    if (name, content) == ("map.json", "{}"):  # an empty web map is a web map
        assert ended.code == 0
    else:
        assert ended.code in (1, 2)
        assert is_one_line(ended), ended
        assert name in ended.err
