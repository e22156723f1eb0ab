"""What must be true of a drawing: it is SVG, and shows what the other verbs list."""

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scripts.demo_maps_story.device import MapDevice
from scripts.demo_story.telling import Checks

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_MARKS = {"add": "added", "update": "updated", "delete": "deleted"}


def check(checks: Checks, device: MapDevice, path: Path, report: dict[str, Any]) -> None:
    """Hold the drawing against the rows, the edits, the conflicts and the quarantine."""
    root = ElementTree.fromstring(path.read_bytes())
    where = str(device.map)
    edits = device.fieldsync("edits", where).report["edits"]
    conflicts = device.fieldsync("conflicts", where, ends_with=6).report["conflicts"]
    refused = device.fieldsync("quarantine", where, ends_with=7).report["quarantine"]
    expected = Counter(_MARKS[one["operation"]] for one in edits)
    expected.update(conflict=len(conflicts), quarantined=len(refused))
    drawn = _marks(root)
    checks.that(
        "each edit, conflict and refusal has its mark in the picture: "
        + ", ".join(f"{count} {name}" for name, count in sorted(drawn.items())),
        is_true=drawn == expected and len(drawn) == 5,
        evidence=(drawn, expected),
    )
    counted = {layer["title"]: layer["features"] for layer in report["layers"]}
    rows = {
        "Airports": device.value("SELECT count(*) FROM Airports WHERE country <> 'SI'"),
        "Countries": device.value("SELECT count(*) FROM Countries", file=device.borders),
    }
    checks.that(
        f"all features are in it: {rows['Airports']} airports, {rows['Countries']} countries",
        is_true=counted == rows,
        evidence=(counted, rows),
    )
    leads = [one.get(_HREF, "#") for one in root.iter() if not one.get(_HREF, "#").startswith("#")]
    scripts = list(root.iter(f"{_SVG}script"))
    checks.that(
        "nothing in it leads outside, and nothing in it runs",
        is_true=not leads and not scripts,
        evidence=(leads, scripts),
    )
    again = path.with_name(f"again {path.name}")
    device.fieldsync("draw", where, str(again))
    checks.that(
        "drawn again it is the same, byte by byte",
        is_true=again.read_bytes() == path.read_bytes(),
    )
    again.unlink()


def _marks(root: ElementTree.Element) -> Counter[str]:
    """The marks on the map; those of the legend do not count."""
    found: Counter[str] = Counter()
    for group in root.iter(f"{_SVG}g"):
        if (group.get("id") or "").startswith("marks-"):
            for use in group.findall(f"{_SVG}use"):
                found[(use.get(_HREF) or "").removeprefix("#mark-")] += 1
    return found
