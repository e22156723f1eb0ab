"""The record of a sync of a map that has many layers."""

from device.api.status import Cause, JobRecord, LayerResult, MapResult
from engine import Clock, EditCounts, JobStatus, SyncTotals


def large_result(name: str, layers: int) -> MapResult:
    """What a sync did to a map with so many layers."""
    return MapResult(
        map=name,
        exit_code=0,
        edits=EditCounts(),
        layers=tuple(_layer(name, number) for number in range(layers)),
        totals=SyncTotals(),
    )


def large_job(clock: Clock, name: str, *, layers: int) -> JobRecord:
    """A job that has ended, with its own copy of everything."""
    return JobRecord(
        id=name,
        cause=Cause.SCHEDULE,
        maps=(name,),
        status=JobStatus.SUCCEEDED,
        created_at=clock.now(),
        ended_at=clock.now(),
        results=(large_result(name, layers),),
    )


def _layer(name: str, number: int) -> LayerResult:
    return LayerResult(
        geodatabase=f"{name}.gpkg",
        layer_id=number,
        table=f"table_{number}",
        sent=1000 + number,
        added=2000 + number,
        updated=0,
        deleted=0,
        photos_sent=0,
        photos_received=0,
        conflicts=0,
        refused=0,
        waiting=0,
    )
