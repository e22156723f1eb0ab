"""The demo step by step: what happens, why, and what must come of it."""

from pathlib import Path
from typing import Any

from device.tables import size, table
from engine import ExitCode
from scripts.demo_story import check, data, edits
from scripts.demo_story.cost import Cost
from scripts.demo_story.field_device import FieldDevice
from scripts.demo_story.png import photo
from scripts.demo_story.service import Service
from scripts.demo_story.telling import Checks, heading, say

MEMORY_LIMIT_BYTES = 30_000_000  # a small board has 512 MB, for all its programs


class Story:
    """The two devices A and B, their service, and what was found to be true so far."""

    def __init__(self, place: Path, checks: Checks, *, is_small: bool) -> None:
        self._place = place
        self.checks = checks
        self._is_small = is_small
        self._a, self._b = FieldDevice("A", place), FieldDevice("B", place)
        self._cost = Cost()

    def tell(self) -> None:
        """All of it. An exception ends the story where something did not come true."""
        self._cost.idle_bytes = self._a.idle().peak_bytes
        with self._start_service() as service:
            self._take(service)
            self._edit()
            self._sync()
            self._look_at_both()
            self._look_at_the_service(service)
            self._unregister()
        self.checks.that(
            f"no step of a device took more than {size(MEMORY_LIMIT_BYTES)} above an idle process",
            is_true=self._cost.most_bytes <= MEMORY_LIMIT_BYTES,
            evidence=size(self._cost.most_bytes),
        )
        heading("What it took")
        say(*self._cost.lines())

    def _start_service(self) -> Service:
        heading("1. A feature service with real data")
        folder = self._place / "service"
        counts = data.write_service(folder, is_small=self._is_small)
        service = Service(folder, data.SERVICE, self._place / "service.log")
        say(
            f"{counts['airports']} airports, each an asset to inspect, and {counts['countries']} "
            "countries: real data.",
            f"{counts['inspections']} inspections and {counts['photos']} photos: made up.",
            f"It stands in for an ArcGIS organisation, on this machine: {service.url}",
        )
        return service

    def _take(self, service: Service) -> None:
        heading("2. Two field devices, A and B, take the map")
        for device in (self._a, self._b):
            say(f"$ fieldsync take {service.url} '{device.map.name}'")
            outcome = device.fieldsync("take", service.url, str(device.map))
            self._cost.add_take(f"{device.name} takes the map", outcome)
        tables = outcome.report["geodatabases"][0]["tables"]
        say(
            "Each has a GeoPackage now, which any GIS can open and edit:",
            *table(
                ("layer", "rows", "photos"),
                [(t["name"], t["rows"], t["attachments"] or 0) for t in tables],
            ),
            f"{self._a.geopackage.name}: {size(self._a.geopackage.stat().st_size)}",
        )

    def _edit(self) -> None:
        heading("3. Both go out of reach, and people work")
        self._a.app("inspect")
        edits.with_sqlite_on_a(self._a)
        say(
            "On A, a field app (the Python API) closes Innsbruck, moves Samedan, and adds an",
            "airstrip, an inspection and a photo; a plain SQLite program deletes Neuchatel, writes",
            "a remark and adds an inspection. No function of fieldsync is loaded there: triggers",
            "in the file notice every edit.",
        )
        self._list_edits(self._a)
        edits.with_sqlite_on_b(self._b)
        edits.with_gdal_on_b(self._b)
        self._b.app("photograph")
        say(
            "On B, SQLite judges the condition of Samedan; GDAL's ogrinfo restricts Innsbruck and",
            "deletes Grenchen; ogr2ogr appends three airstrips; the app adds a photo of Zurich.",
        )
        self._list_edits(self._b)

    def _list_edits(self, device: FieldDevice) -> None:
        found = device.fieldsync("edits", str(device.map)).report["edits"]
        say(
            f"$ fieldsync edits '{device.map.name}'",
            *table(
                ("layer", "edit", "GlobalID", "changed"),
                [(e["layer"], e["operation"], e["global_id"], _changed(e)) for e in found],
            ),
        )

    def _sync(self) -> None:
        heading("4. They come back: A syncs, then B, then A again")
        self._sync_one(self._a, "A syncs", "A's edits go up.")
        self._sync_one(
            self._b,
            "B syncs",
            "A's edits come down, are merged with B's, and B's go up. Exit code 6 says that both",
            "had changed the same value; the version that lost is kept for whoever wants it.",
            ends_with=ExitCode.CONFLICTS,
        )
        self._sync_one(self._a, "A syncs again", "B's edits come down.")
        self._cost.add_sync("B, nothing to do", self._b.fieldsync("sync", str(self._b.map)))

    def _sync_one(self, device: FieldDevice, name: str, *why: str, ends_with: int = 0) -> None:
        outcome = device.fieldsync("sync", str(device.map), ends_with=ends_with)
        self._cost.add_sync(name, outcome)
        totals = outcome.report["totals"]
        say(
            f"$ fieldsync sync '{device.map.name}'",
            *why,
            f"Sent {size(totals['sent_bytes'])}, received {size(totals['received_bytes'])}.",
        )

    def _look_at_both(self) -> None:
        heading("5. What must be true now")
        a, b = self._a.geopackage, self._b.geopackage
        claim = self.checks.that
        for device in (self._a, self._b):
            left = device.fieldsync("edits", str(device.map)).report["edits"]
            claim(f"{device.name} has nothing left to send", is_true=not left, evidence=left)
        status = [_airport(path, edits.CONTESTED)["status"] for path in (a, b)]
        claim(
            "Innsbruck, set to 'closed' by A and to 'restricted' by B, is 'restricted' on both: "
            "who syncs last wins",
            is_true=status == ["restricted"] * 2,
            evidence=status,
        )
        shared = [_airport(path, edits.SHARED) for path in (a, b)]
        claim(
            "Samedan was moved by A and judged by B: both edits survived on both",
            is_true=all(
                (row["x"], row["y"]) == edits.SHARED_PLACE and row["condition"] == 1
                for row in shared
            ),
            evidence=shared,
        )
        for icao in (edits.ADDED_BY_A, *edits.STRIPS):
            found = [_airport(path, icao) for path in (a, b)]
            claim(f"the new airstrip {icao} is on both", is_true=all(found), evidence=found)
        for icao in (edits.DELETED_BY_A, edits.DELETED_BY_B):
            found = [_airport(path, icao) for path in (a, b)]
            claim(f"the deleted {icao} is gone from both", is_true=not any(found), evidence=found)
        remark = _airport(b, edits.CLEANED)["remarks"]
        claim("quotes, accents and symbols arrived", is_true=remark == edits.ODD_REMARK)
        for icao, inspector in ((edits.CONTESTED, "Field app"), (edits.CLEANED, "SQLite")):
            names = check.inspections(b, edits.id_of(icao))
            claim(
                f"A's inspection of {icao} arrived on B, with its airport",
                is_true=inspector in names,
                evidence=names,
            )
        for path, icao, name in ((b, edits.CONTESTED, "B"), (a, edits.CLEANED, "A")):
            content = photo(f"new {icao}")
            arrived = check.photo_sha256(path, edits.id_of(icao), edits.new_photo_name(icao))
            claim(
                f"the new photo of {icao} arrived on {name}, all its {len(content)} bytes right",
                is_true=arrived == check.sha256(content),
                evidence=arrived,
            )
        check.everything_agrees(self.checks, self._a, self._b)

    def _look_at_the_service(self, service: Service) -> None:
        check.service_agrees(self.checks, self._a, service)
        for icao in (edits.CONTESTED, edits.CLEANED):
            name = edits.new_photo_name(icao)
            kept = check.service_photo_sha256(service, icao, name)
            self.checks.that(
                f"the service has the new photo of {icao}",
                is_true=kept == check.sha256(photo(f"new {icao}")),
                evidence=kept,
            )

    def _unregister(self) -> None:
        for device in (self._a, self._b):
            device.fieldsync("unregister", str(device.map))


def _airport(geopackage: Path, icao: str) -> dict[str, Any]:
    return check.airport(geopackage, icao) or {}


def _changed(edit: dict[str, Any]) -> str:
    """What an edit changed, for the story's table."""
    if edit["attachment"]:
        return f"photo {edit['attachment']}"
    if edit["operation"] != "update":
        return ""
    return ", ".join([*edit["columns"], *(["geometry"] if edit["geometry_changed"] else [])])
