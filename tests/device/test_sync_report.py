"""What the results of a sync become: lines, JSON, and one exit code."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest

from device.cli_sync import make_report
from engine import (
    EditCounts,
    EditOperation,
    ExitCode,
    FeatureEditResult,
    SyncGeodatabaseResult,
    SyncLayerResult,
    SyncTotals,
)
from engine.errors import LinkError, ServiceError
from engine.sync.results import DownloadCounts, EditError


def result(*layers: SyncLayerResult, error: LinkError | None = None) -> SyncGeodatabaseResult:
    return SyncGeodatabaseResult(
        geodatabase_path=Path("map/park.gpkg"),
        layer_results=list(layers),
        totals=SyncTotals(sent_bytes=1500, received_bytes=12, seconds=0.25),
        error=error,
    )


def layer(**more: object) -> SyncLayerResult:
    made = SyncLayerResult(layer_id=0, table_name="Trees")
    for name, value in more.items():
        setattr(made, name, value)
    return made


CONFLICT = layer(downloaded=DownloadCounts(updated=1, conflicts=1))
GIVEN_UP = layer(uploaded=EditCounts(found=1, conflict=1))
HELD = layer(uploaded=EditCounts(found=1, held=1))
REFUSED = layer(uploaded=EditCounts(found=2, applied=1, quarantined=1))
REFUSED_PHOTO = layer(attachments_uploaded=EditCounts(found=1, quarantined=1))
FAILED = layer(error=ServiceError("the layer is gone"))


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([], ExitCode.OK),
        ([result(layer())], ExitCode.OK),
        ([result(CONFLICT)], ExitCode.CONFLICTS),
        ([result(GIVEN_UP)], ExitCode.CONFLICTS),
        ([result(HELD)], ExitCode.CONFLICTS),
        ([result(HELD, REFUSED)], ExitCode.QUARANTINE),
        ([result(REFUSED)], ExitCode.QUARANTINE),
        ([result(REFUSED_PHOTO)], ExitCode.QUARANTINE),
        ([result(CONFLICT), result(REFUSED)], ExitCode.QUARANTINE),
        ([result(REFUSED, FAILED)], ExitCode.ERROR),
        ([result(REFUSED), result(error=LinkError("no route"))], ExitCode.NO_LINK),
    ],
)
def test_the_gravest_thing_makes_the_exit_code(
    results: list[SyncGeodatabaseResult], code: ExitCode
) -> None:
    report = make_report("map", results, {})

    assert report.exit_code is code
    assert (report.error is None) == (code not in (ExitCode.ERROR, ExitCode.NO_LINK))


def test_every_number_is_in_the_report() -> None:
    refusal = FeatureEditResult(
        global_id="{A}",
        object_id=7,
        edit_operation=EditOperation.UPDATE,
        error=EditError(code=1016, description="elm is no kind"),
    )
    refused = layer(
        uploaded=EditCounts(found=3, applied=1, quarantined=1, pending=1),
        downloaded=DownloadCounts(added=4, updated=5, deleted=6, out_of_area=1),
        attachments_uploaded=EditCounts(found=2, applied=2),
        attachments_downloaded=DownloadCounts(added=8),
        edit_results=[refusal],
    )

    report = make_report("map", [result(refused)], {})

    assert list(report.lines) == [
        "layer  sent  added  changed  deleted  photos up  photos down  conflicts  refused  waiting",
        "-----  ----  -----  -------  -------  ---------  -----------  ---------  -------  -------",
        "Trees     1      4        5        6          2            8          0        1        1",
        "Trees: 1 row no longer in the map's area or filter, kept here.",
        "Trees {A}, update not applied: elm is no kind (error 1016) Correct the "
        "value: it does not fit the field's type, length or domain",
        "Sent 1.5 kB, received 12 B, in 0.2 s.",
    ]
    assert report.data["totals"] == {"sent_bytes": 1500, "received_bytes": 12, "seconds": 0.25}
    assert report.data["has_errors"] is True
    (geodatabase,) = cast(list[dict[str, Any]], report.data["geodatabases"])
    assert geodatabase["path"] == "map/park.gpkg"
    (shown,) = geodatabase["layers"]
    assert shown["uploaded"] == asdict(refused.uploaded)
    assert shown["downloaded"] == asdict(refused.downloaded)
    assert shown["edit_results"] == [refusal.to_json()]


def test_traffic_of_all_services_is_added_up() -> None:
    report = make_report("map", [result(layer()), result(layer())], {})

    assert report.data["totals"] == {"sent_bytes": 3000, "received_bytes": 24, "seconds": 0.5}


def test_a_geodatabase_that_could_not_be_opened_is_an_error() -> None:
    broken = {"other.gpkg": ServiceError("it is damaged")}

    report = make_report("map", [result(CONFLICT)], broken)

    assert report.exit_code is ExitCode.ERROR
    assert report.error is broken["other.gpkg"]
    assert report.data["has_errors"] is True
    assert report.data["broken"] == {"other.gpkg": broken["other.gpkg"].to_json()}
