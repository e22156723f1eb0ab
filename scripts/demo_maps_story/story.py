"""The demo of maps step by step: what happens, why, and what must come of it."""

from pathlib import Path
from typing import Any

from device.tables import size, table
from engine import ExitCode
from scripts.demo_maps_story import pictures, world
from scripts.demo_maps_story.device import MapDevice
from scripts.demo_maps_story.office import Office
from scripts.demo_story.check import sha256
from scripts.demo_story.data import AIRPORTS, SERVICE, guid
from scripts.demo_story.png import photo
from scripts.demo_story.telling import Checks, heading, say

NEW_PHOTO = "new.png"
MODES = ("none", "sync", "packages", "packages-and-new")
ADD = (
    "INSERT INTO Airports(icao, name, country, status, condition, geom) SELECT ?, ?, 'CH', 'open',"
    " 4, geom FROM Airports WHERE icao = 'LSZS'"
)
CLOSE = "UPDATE Airports SET status = 'closed' WHERE icao = 'LSGS'"
DELETE = "DELETE FROM Airports WHERE icao = 'LSGS'"
FIRST, SECOND = "LSGG", "LSZH"  # Geneva and Zurich: the office changes them between the packages


class Story:
    """The devices, their office, and what was found to be true so far."""

    def __init__(self, place: Path, checks: Checks) -> None:
        self._place = place
        self.checks = checks
        self._data = place / "service"
        self._on_demand = MapDevice("on demand", place)
        self._by = {mode: MapDevice(mode, place) for mode in MODES}

    def tell(self, picture: Path | None = None) -> None:
        """All of it. An exception ends the story where something did not come true. The last
        drawing is left at ``picture``, if that is given."""
        with self._start() as office:
            self._take_on_demand(office)
            self._take_ahead_of_time(office)
            self._refuse_edits()
            self._update_by_packages(office)
            self._replace_under_a_reader(office)
            self._send_new_features(office)
            self._sync_and_stay(office)
            self._draw(picture or self._place / "alps.svg")

    def _start(self) -> Office:
        heading("1. A portal with a web map of two services")
        counts = world.write_world(self._data)
        office = Office(self._data, self._place / "service.log")
        say(
            f"{counts['airports']} airports with {counts['photos']} photos and "
            f"{counts['inspections']} inspections, to be edited; {counts['countries']} countries,",
            "which can only be read. The web map shows no airports of Slovenia.",
            f"The portal stands in for an ArcGIS organisation, on this machine: {office.portal}",
        )
        return office

    # --- on demand --------------------------------------------------------------------------------

    def _take_on_demand(self, office: Office) -> None:
        heading("2. The web map is taken on demand, for an area that a person names")
        device, claim = self._on_demand, self.checks.that
        report = self._take(device, office, world.WEB_MAP, "--area", world.ON_DEMAND)
        tables = {one["name"]: one for g in report["geodatabases"] for one in g["tables"]}
        claim(
            "one map has the rows of both services, each in a GeoPackage of its own",
            is_true=len(report["geodatabases"]) == 2 and all(t["rows"] for t in tables.values()),
            evidence=tables,
        )
        slovenian = device.value("SELECT count(*) FROM Airports WHERE country = ?", world.LEFT_OUT)
        claim(
            "the web map's filter holds: no airport of Slovenia came",
            is_true=slovenian == 0 < tables["Airports"]["rows"],
            evidence=slovenian,
        )
        lost = device.value(
            "SELECT count(*) FROM Inspections WHERE airport NOT IN (SELECT GlobalID FROM Airports)"
        )
        claim(
            "inspections came that belong to the airports that did, and no others",
            is_true=lost == 0 < tables["Inspections"]["rows"],
            evidence=lost,
        )
        claim("photos came along", is_true=bool(tables["Airports"]["attachments"]))
        told = device.refusal("DELETE FROM Countries", file=device.borders)
        claim(f"the layer that can only be read says so: {told!r}", is_true=bool(told))
        device.execute("UPDATE Airports SET remarks = 'Seen on demand' WHERE icao = 'LOWI'")
        device.execute(
            "INSERT INTO Inspections(airport, inspector, score) VALUES (?, 'SQLite', 9)",
            guid("airport", "LOWI"),
        )
        content = photo("on demand")
        device.execute(
            "INSERT INTO Airports__ATTACH(REL_GLOBALID, CONTENT_TYPE, ATT_NAME, DATA)"
            " VALUES (?, 'image/png', ?, ?)",
            guid("airport", "LOWI"),
            NEW_PHOTO,
            content,
        )
        self._sync(device, "A remark, an inspection and a photo, made with SQLite, go up.")
        (feature,) = office.rows(AIRPORTS, "icao='LOWI'")
        photos = office.photos(AIRPORTS, feature["attributes"]["OBJECTID"])
        claim(
            "the office has the remark, and the photo with all its bytes",
            is_true=feature["attributes"]["remarks"] == "Seen on demand"
            and sha256(photos.get(NEW_PHOTO, b"")) == sha256(content),
            evidence=(feature, list(photos)),
        )

    # --- ahead of time ----------------------------------------------------------------------------

    def _take_ahead_of_time(self, office: Office) -> None:
        heading("3. An area of it, prepared ahead of time, is taken in all four update modes")
        before = office.package_bytes()
        found = self._by["none"].fieldsync("areas", world.WEB_MAP, "--portal", office.portal)
        (area,) = found.report["areas"]
        say(
            f"$ fieldsync areas {world.WEB_MAP[:8]}…",
            f"{area['title']}, {area['status']}, {size(area['size_bytes'])}: "
            f"{', '.join(area['update_modes'])}",
        )
        self.checks.that(
            "the area can be taken in all four modes",
            is_true=tuple(area["update_modes"]) == MODES,
            evidence=area["update_modes"],
        )
        for mode, device in self._by.items():
            report = self._take(device, office, world.AREA, "--update-mode", mode)
            rows = sum(t["rows"] for g in report["geodatabases"] for t in g["tables"])
            self.checks.that(
                f"{mode}: two geodatabases with {rows} rows, kept current that way",
                is_true=len(report["geodatabases"]) == 2 and rows > 0,
                evidence=report["geodatabases"],
            )
        fetched = office.package_bytes() - before
        told = 4 * area["size_bytes"]
        self.checks.that(
            f"`areas` told what each of them would download: {size(fetched // 4)}",
            is_true=told <= fetched <= told * 1.01,  # the beginning of a package is looked at first
            evidence=(fetched, told),
        )

    def _refuse_edits(self) -> None:
        heading("4. Each mode permits what it can bring home, and refuses the rest at once")
        adding = ADD.replace("?, ?", "'XX01', 'Airstrip'")
        allowed = {
            "none": (),
            "sync": (adding, CLOSE, DELETE),
            "packages": (),
            "packages-and-new": (adding,),
        }
        for mode, device in self._by.items():
            told = {sql: device.refusal(sql) for sql in (adding, CLOSE, DELETE)}
            taken = tuple(sql for sql, refusal in told.items() if not refusal)
            words = [sql.split()[0] for sql in taken] or ["nothing"]
            self.checks.that(
                f"{mode}: takes {', '.join(words)}", is_true=taken == allowed[mode], evidence=told
            )
        reason = self._by["packages"].refusal(DELETE)
        say(f"The reason is told where the edit is made: {reason!r}")

    def _update_by_packages(self, office: Office) -> None:
        heading("5. The office edits, and the portal makes an update package")
        office.edit(AIRPORTS, updates=[_with_status(FIRST, "restricted")])
        changed = office.refresh()
        self.checks.that(
            "one package has changed, the other has not",
            is_true=sorted(changed.values()) == ["changed", "unchanged"],
            evidence=changed,
        )
        promised = self._check_then_sync(self._by["packages"], office)
        whole = self._by["packages"].fieldsync("areas", world.WEB_MAP, "--portal", office.portal)
        package = whole.report["areas"][0]["size_bytes"]
        self.checks.that(
            f"that is less than the packages themselves, {size(package)}",
            is_true=promised < package,
            evidence=(promised, package),
        )
        status = self._by["packages"].status(FIRST)
        self.checks.that("the edit has arrived", is_true=status == "restricted", evidence=status)
        device = self._by["none"]
        calls = office.calls()
        report = device.fieldsync("sync", str(device.map), ends_with=ExitCode.ERROR).report
        self.checks.that(
            f"a map without updates says so: {report['error']['message'].rpartition(' was ')[2]!r}",
            is_true=report["error"]["code"] == "map",
            evidence=report["error"],
        )
        self.checks.that(
            "it has asked its services nothing, and stays as it was",
            is_true=office.calls() == calls and device.status(FIRST) == "open",
            evidence=(office.calls() - calls, device.status(FIRST)),
        )

    def _replace_under_a_reader(self, office: Office) -> None:
        heading("6. Updates have been cleared away: the whole package comes, under a reader's feet")
        device = self._by["packages"]
        world.keep_no_updates(self._data, SERVICE)
        for status in ("closed", "restricted"):
            office.edit(AIRPORTS, updates=[_with_status(SECOND, status)])
            office.refresh()
        say("The portal makes two updates, and keeps neither for long.")
        file = device.airports.stat().st_ino
        query = f"SELECT status FROM Airports WHERE icao = '{SECOND}'"
        with device.reader() as reader:
            ((before,),) = reader.execute(query)
            promised = self._check_then_sync(device, office)
            ((meanwhile,),) = reader.execute(query)
            reader.execute("COMMIT")
            ((after,),) = reader.execute(query)
        self.checks.that(
            "the reader saw one version until it had finished, then the new one, without opening "
            "the file again",
            is_true=(before, meanwhile, after) == ("open", "open", "restricted"),
            evidence=(before, meanwhile, after),
        )
        whole = (world.package_folder(self._data, SERVICE) / "data.json").stat().st_size
        self.checks.that(
            f"what came was the package of {size(whole)}",
            is_true=promised == whole,
            evidence=(promised, whole),
        )
        self.checks.that(
            "the file is the same one, its rows were replaced inside of it",
            is_true=device.airports.stat().st_ino == file,
        )

    def _send_new_features(self, office: Office) -> None:
        heading("7. A map with packages sends what is new on it")
        device = self._by["packages-and-new"]
        device.execute(ADD, "XN01", "Airstrip of this device")
        upload = device.fieldsync("check", str(device.map)).report["upload"]
        self.checks.that("`check` knows of it", is_true=upload == "available", evidence=upload)
        self._sync(device, "The new airstrip goes up; then the packages come down.")
        there = [*office.rows(AIRPORTS, "icao='XN01'")]
        here = device.value("SELECT count(*) FROM Airports WHERE icao = 'XN01'")
        self.checks.that(
            "the office has the airstrip, and the map still shows it, though no package has it yet",
            is_true=len(there) == here == 1 and device.status(SECOND) == "restricted",
            evidence=(len(there), here, device.status(SECOND)),
        )
        office.refresh()
        self._check_then_sync(device, office)
        here = device.value("SELECT count(*) FROM Airports WHERE icao = 'XN01'")
        self.checks.that("with the package that has it, it is there once", is_true=here == 1)

    # --- a map that syncs, and its picture --------------------------------------------------------

    def _sync_and_stay(self, office: Office) -> None:
        heading("8. The map that syncs: an edit goes up, one is contested, one is refused")
        device, claim = self._by["sync"], self.checks.that
        device.execute("UPDATE Airports SET remarks = 'Grass too high' WHERE icao = 'LSGS'")
        device.execute("UPDATE Airports SET status = 'closed' WHERE icao = ?", "LSZA")
        device.execute("UPDATE Airports SET status = 'flooded' WHERE icao = ?", "LSZB")
        office.edit(AIRPORTS, updates=[_with_status("LSZA", "restricted")])
        self._sync(
            device,
            "The remark goes up. Lugano's status was changed on both sides and waits for a person;",
            "'flooded' is no status of the service's, which refuses it. Exit code 7 says so.",
            options=("--conflicts", "manual"),
            ends_with=ExitCode.QUARANTINE,
        )
        (feature,) = office.rows(AIRPORTS, "icao='LSGS'")
        claim(
            "the remark is with the office, and the update that the others got is here",
            is_true=feature["attributes"]["remarks"] == "Grass too high"
            and device.status(FIRST) == "restricted",
            evidence=(feature, device.status(FIRST)),
        )
        device.execute(ADD, "XS01", "Airstrip in the snow")
        device.execute(
            "UPDATE Airports SET geom = (SELECT geom FROM Airports WHERE icao = 'LSGC'),"
            " status = 'restricted' WHERE icao = 'LSGN'"
        )
        device.execute("DELETE FROM Airports WHERE icao = 'LSZG'")

    def _draw(self, path: Path) -> None:
        heading("9. A picture of it: what a technician looks at first")
        device = self._by["sync"]
        report = device.fieldsync("draw", str(device.map), str(path)).report
        say(
            f"$ fieldsync draw '{device.map.name}' {path.name}",
            *table(
                ("layer", "symbol", "features"),
                [
                    (layer["title"], one["label"], one["features"])
                    for layer in report["layers"]
                    for one in layer["classes"]
                ],
            ),
            f"{size(report['size_bytes'])}, {report['width']} by {report['height']} pixels",
        )
        pictures.check(self.checks, device, path, report)

    # --- steps of which there are several ---------------------------------------------------------

    def _take(self, device: MapDevice, office: Office, item: str, *options: str) -> dict[str, Any]:
        say(f"$ fieldsync take {item[:8]}… '{device.map.name}' {' '.join(options)}")
        arguments = (item, str(device.map), "--portal", office.portal, *options)
        return device.fieldsync("take", *arguments).report

    def _check_then_sync(self, device: MapDevice, office: Office) -> int:
        """Sync; the bytes that ``check`` promised, which must be those that came."""
        checked = device.fieldsync("check", str(device.map)).report
        promised = int(checked["scheduled_updates_download_size"])
        for one in checked["geodatabases"]:
            if one["whole_package_reason"]:
                say(f"The whole package is needed, because {one['whole_package_reason']}.")
        before = office.package_bytes()
        self._sync(device, f"`fieldsync check` promises {promised} bytes.")
        came = office.package_bytes() - before
        self.checks.that(
            f"{came} bytes of packages were downloaded, as the portal counts them: as promised",
            is_true=came == promised > 0,
            evidence=(promised, came),
        )
        return promised

    def _sync(
        self, device: MapDevice, *why: str, options: tuple[str, ...] = (), ends_with: int = 0
    ) -> None:
        device.fieldsync("sync", str(device.map), *options, ends_with=ends_with)
        say(f"$ fieldsync sync '{device.map.name}' {' '.join(options)}", *why)


def _with_status(icao: str, status: str) -> dict[str, Any]:
    return {"attributes": {"GlobalID": guid("airport", icao), "status": status}}
