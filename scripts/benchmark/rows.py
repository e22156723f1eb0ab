"""The rows of the benchmark: what is measured, beside whom, and what is to be reached."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scripts.benchmark.files import Files
from scripts.benchmark.process import Cost, run_peer, run_worker, typical
from scripts.benchmark.result import Result, at_least, at_most

_OGR = "ogr2ogr"
_MEMORY_SIZES = (100, 10_000, 100_000, 1_000_000)
_DICT_ROWS = 100_000
_DELTA_GOALS: dict[str, dict[str, float]] = {
    "delta_bytes_based": {"move": 5, "attributes": 14, "mix": 20, "add": 43, "delete": 0.7},
    "delta_bytes_self": {"move": 21, "attributes": 30, "mix": 36, "add": 43, "delete": 17},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a row needs: its files, and how often to measure."""

    files: Files
    runs: int

    def compare(self, *measures: Callable[[], Cost]) -> list[Cost]:
        """The medians of each, measured in turns."""
        return typical(measures, self.runs)


def task(work: str, /, **arguments: object) -> Callable[[], Cost]:
    """A worker's task, ready to be run."""
    told = {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()}
    return partial(run_worker, work, told)


def load(bench: Bench, row: str, name: str) -> Iterator[Result]:
    """A replica file into a complete geodatabase, beside ogr2ogr, which has no unique GlobalID."""
    files, count = bench.files, bench.files.count(name)
    target = files.scratch("theirs.gpkg")
    source = f"ESRIJSON:{files.feature_set(name, count)}"
    command = [_OGR, "-f", "GPKG", "-overwrite", str(target), source, "-nln", name]
    ours, theirs = bench.compare(
        task(
            "load",
            name=name,
            count=count,
            replica=files.replica(name, count),
            target=files.scratch("ours.gpkg"),
        ),
        partial(run_peer, [command], [_OGR, "--version"]),
    )
    goal, reached = at_least(3, ours.cpu_s, theirs.cpu_s)
    yield _result(row, "cpu", ours.cpu_s, theirs.cpu_s, _OGR, "CPU s", goal, reached)
    goal, reached = at_least(20, ours.above_idle_mb, theirs.above_idle_mb)
    yield _result(
        row,
        "memory",
        ours.above_idle_mb,
        theirs.above_idle_mb,
        _OGR,
        "MB above idle",
        goal,
        reached,
    )
    yield _result(row, "process", ours.peak_mb, theirs.peak_mb, _OGR, "MB in all")


def load_floor(bench: Bench, row: str) -> Iterator[Result]:
    """How near the load is to inserting ready rows with the same indexes."""
    files, count = bench.files, bench.files.count("trees")
    ours, floor = bench.compare(
        task(
            "load",
            name="trees",
            count=count,
            replica=files.replica("trees", count),
            target=files.scratch("ours.gpkg"),
        ),
        task(
            "load_floor",
            table="trees",
            geodatabase=files.geodatabase("trees", count),
            target=files.scratch("floor.gpkg"),
        ),
    )
    yield _result(row, "points", ours.cpu_s, floor.cpu_s, "executemany", "CPU s")


def encode(bench: Bench, row: str, name: str) -> Iterator[Result]:
    """Edits into Esri JSON: rows in memory, and with reading the table and writing a file."""
    source = bench.files.geodatabase(name, bench.files.count(name))
    ours, theirs = bench.compare(
        task("encode_ready", name=name, geodatabase=source, peer=False),
        task("encode_ready", name=name, geodatabase=source, peer=True),
    )
    goal, reached = at_least(3, ours.cpu_s, theirs.cpu_s)
    yield _result(row, "codec", ours.cpu_s, theirs.cpu_s, "orjson", "CPU s", goal, reached)
    target = bench.files.scratch("edits.json")
    ours, theirs = bench.compare(
        task("encode", name=name, geodatabase=source, target=target),
        task("encode_orjson", name=name, geodatabase=source, target=target),
    )
    yield _result(row, "table to file", ours.cpu_s, theirs.cpu_s, "orjson", "CPU s")


def memory_flat(bench: Bench, row: str) -> Iterator[Result]:
    """Peaks above the idle interpreter, of any number of rows; a dict's at 100 000."""
    files = bench.files
    for work, peer in (
        ("encode", "encode_dict"),
        ("decode", "decode_dict"),
        ("load", "load_dict"),
        ("merge", None),
    ):
        theirs = None
        if peer is not None:
            found = task(peer, **_memory_arguments(files, peer, files.size(_DICT_ROWS)))()
            theirs = found.above_idle_mb
        for size in map(files.size, _MEMORY_SIZES):
            cost = task(work, **_memory_arguments(files, work, size))()
            goal, reached = at_most(8, cost.above_idle_mb)
            beside = theirs if size == files.size(_DICT_ROWS) else None
            name = "dict + json" if beside is not None else ""
            case, ours = f"{work} {size}", cost.above_idle_mb
            yield _result(row, case, ours, beside, name, "MB above idle", goal, reached)


def _memory_arguments(files: Files, work: str, size: int) -> dict[str, object]:
    replica = files.replica("trees", size)
    if work == "decode_dict":
        return {"replica": replica}
    if work == "decode":
        return {"name": "trees", "replica": replica}
    if work == "load_dict":
        return {"replica": replica, "target": files.scratch("dict.db")}
    if work == "load":
        target = files.scratch("load.gpkg")
        return {"name": "trees", "count": size, "replica": replica, "target": target}
    source = files.geodatabase("trees", size)
    if work == "merge":
        changed = files.copy(source, "merge.gpkg")
        run_worker("change_rows", {"geodatabase": str(changed)})
        return {"name": "trees", "geodatabase": changed, "replica": replica}
    return {"name": "trees", "geodatabase": source, "target": files.scratch("edits.json")}


def export_cost(bench: Bench, row: str) -> Iterator[Result]:
    """A hundred edits out of a million features and out of a thousand."""
    files, ours, theirs = bench.files, [], []
    for size in (files.size(1_000_000), files.size(1000)):
        source = files.geodatabase("trees", size)
        edited = files.copy(source, "edited.gpkg")
        run_worker("edit_geodatabase", {"geodatabase": str(edited), "count": size})
        ours.append(float(task("export_steps", geodatabase=edited)().found["steps"]))
        base, changed = files.scratch("base.db"), files.scratch("changed.db")
        pair = {"geodatabase": str(source), "base": str(base), "changed": str(changed)}
        run_worker("make_plain_pair", pair)
        target = files.scratch("changes.diff")
        (cost,) = bench.compare(task("geodiff", base=base, changed=changed, target=target))
        theirs.append(cost.cpu_s)
    growth, peer_growth = ours[0] / ours[1], theirs[0] / max(theirs[1], 1e-4)
    goal, reached = at_most(1.5, growth)
    yield _result(row, "growth", growth, peer_growth, "geodiff (CPU)", "times", goal, reached)


def delta_bytes(bench: Bench, row: str) -> Iterator[Result]:
    """Bytes per edit of 10 000 edits of the trees."""
    files, count = bench.files, bench.files.count("trees")
    source, edits = files.geodatabase("trees", count), files.size(10_000)
    for kind, limit in _DELTA_GOALS[row].items():
        based = row == "delta_bytes_based"
        ours = task("delta", geodatabase=source, kind=kind, count=edits, based=based)()
        folder = files.scratch("")
        theirs = task("delta_peer", geodatabase=source, kind=kind, count=edits, folder=folder)()
        size, peer = (cost.found["size"] / cost.found["edits"] for cost in (ours, theirs))
        goal, reached = at_most(limit, size)
        yield _result(row, kind, size, peer, "geodiff + zstd -19", "bytes/edit", goal, reached)


def upload_bytes(bench: Bench, row: str) -> Iterator[Result]:
    """Twenty edits as they go up, beside full rows in an url-encoded form."""
    files = bench.files
    copied = files.copy(files.geodatabase("trees", files.count("trees")), "upload.gpkg")
    found = task("upload", geodatabase=copied, folder=files.scratch(""), count=20)().found
    for case, limit in (("edits", 4.0), ("body", 5.2)):
        size, peer = found[case] / 1024, found["peer"] / 1024
        goal, reached = at_most(limit, size)
        yield _result(row, case, size, peer, "full rows, url-encoded", "KB", goal, reached)


def download_bytes(bench: Bench, row: str) -> Iterator[Result]:
    """A small answer comes compressed; a large one goes on where a broken connection left it."""
    files = bench.files
    small, large = files.replica("trees", 20), files.replica("trees", files.size(100_000))
    plain = small.stat().st_size / 1000
    size = task("download", content=small, is_cut=False)().found["received"] / 1000
    goal, reached = at_least(2, size, plain)
    yield _result(row, "small", size, plain, "not compressed", "kB", goal, reached)
    found = task("download", content=large, is_cut=True)().found
    plain, size = large.stat().st_size / 1000, found["received"] / 1000
    again, reached = 1.5 * plain, found["ranges"] > 0
    goal = "goes on by Range"
    yield _result(row, "large, cut once", size, again, "from the start", "kB", goal, reached)


ROWS: dict[str, Callable[[Bench], Iterator[Result]]] = {
    "load_points": partial(load, row="load_points", name="trees"),
    "load_polygons": partial(load, row="load_polygons", name="parcels"),
    "load_floor": partial(load_floor, row="load_floor"),
    "encode_points": partial(encode, row="encode_points", name="trees"),
    "encode_polygons": partial(encode, row="encode_polygons", name="parcels"),
    "memory_flat": partial(memory_flat, row="memory_flat"),
    "export_cost": partial(export_cost, row="export_cost"),
    "delta_bytes_based": partial(delta_bytes, row="delta_bytes_based"),
    "delta_bytes_self": partial(delta_bytes, row="delta_bytes_self"),
    "upload_bytes": partial(upload_bytes, row="upload_bytes"),
    "download_bytes": partial(download_bytes, row="download_bytes"),
}
"""Name → what yields its results."""


def _result(
    row: str,
    case: str,
    ours: float,
    peer: float | None,
    peer_name: str,
    unit: str,
    goal: str = "",
    reached: bool = True,
) -> Result:
    return Result(
        row=row,
        case=case,
        ours=ours,
        peer=peer,
        peer_name=peer_name,
        unit=unit,
        goal=goal,
        is_reached=reached,
    )
