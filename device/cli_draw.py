"""``fieldsync draw``: a picture of a map, as one SVG file."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from device.cli_errors import UsageError
from device.cli_run import run_async
from device.console import Console, Report
from device.drawing.drawing import Drawing, Drawn
from device.drawing.marks import Mark
from device.drawing.page import DEFAULT_WIDTH
from device.drawing.plan import LayerPlan, Plan, box_in, is_sound, make_plan, survey
from device.drawing.renderers import OTHER
from device.drawing.svg import MAGIC
from device.tables import number, size, table
from engine import EngineError, Envelope, ExitCode, OfflineMap, new_file

HEADINGS = ("layer", "features", "outside", "without place")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFacts:
    """A symbol of a layer; ``label`` is null for features that have none."""

    label: str | None
    features: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """A layer of the drawing: ``features`` are in the picture, ``outside`` are not."""

    id: str
    title: str
    is_drawn: bool
    features: int
    outside: int
    without_place: int
    classes: tuple[ClassFacts, ...]
    notes: tuple[str, ...]


def run(options: Namespace, _console: Console) -> Report:
    """Draw the map; nothing in it is changed, and no network is needed."""
    refuse_other_file(options.file, is_asked=options.overwrite)
    return run_async(lambda: _draw(options), when_stopped="No file was written")


def refuse_other_file(path: Path, *, is_asked: bool) -> None:
    """:exc:`UsageError` if there is something at ``path`` that is no drawing of ours.

    ``is_asked``: any file may be replaced, but those that a map consists of.
    """
    if path.is_file():
        with open(path, "rb") as stream:
            start = stream.read(200)
        if MAGIC.encode() in start:
            return
        if start.startswith(b"SQLite format 3\0") or _is_in_a_map(path):
            raise UsageError(f"{path} is a map's own data", remedy="Choose another name")
        if is_asked:
            return
    if path.exists():
        remedy = "Choose another name" if path.is_dir() else "Choose another name, or --overwrite"
        raise UsageError(f"{path} exists and is no drawing of fieldsync", remedy=remedy)
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", remedy="Make it first")


def _is_in_a_map(path: Path) -> bool:
    try:
        OfflineMap.read_info(path.parent)
    except EngineError as error:
        return error.code != "map-not-found"  # else it is damaged
    return True


async def _draw(options: Namespace) -> Report:
    async with OfflineMap.open(options.map) as map_:
        plan = make_plan(map_, chosen_layers(map_, options.layer))
        if options.extent is not None:
            plan.box = _extent(options.extent, plan)
        await survey(plan)
        with new_file(options.file) as stream:
            drawn = await Drawing(map_, plan, stream).write(options.width or DEFAULT_WIDTH)
            size_bytes = stream.tell()
        errors = [*map_.errors.values()]
        errors += [table.error for table, _ in plan.feature_tables if table.error is not None]
        broken = {name: error.to_json() for name, error in map_.errors.items()}
    layers = [_layer_facts(one) for one in plan.layers]
    return Report(
        data={
            "map": str(options.map),
            "path": str(options.file),
            "size_bytes": size_bytes,
            "width": round(drawn.width),
            "height": round(drawn.height),
            "extent": _shown(drawn, plan).to_json(),
            "layers": [asdict(one) for one in layers],
            "missing": [
                {"id": one.id, "title": one.title, "reason": one.reason} for one in plan.missing
            ],
            "marks": {mark.value: count for mark, count in drawn.marks.items()},
            "marks_outside": drawn.marks_outside,
            "marks_in_tables": drawn.in_tables,
            "photos_to_send": drawn.photos,
            "notes": plan.notes,
            "broken": broken,
        },
        lines=list(_lines(options.file, size_bytes, layers, plan, drawn)),
        exit_code=errors[0].exit_code if errors else ExitCode.OK,
        error=errors[0] if errors else None,
    )


def chosen_layers(map_: OfflineMap, names: list[str]) -> frozenset[str] | None:
    """The ids of the layers of those titles or ids, in any letter case; None without names."""
    if not names:
        return None
    layers = map_.operational_layers
    found: set[str] = set()
    for name in names:
        folded = name.casefold()
        ids = {one.id for one in layers if folded in (one.id.casefold(), one.title.casefold())}
        if not ids:
            titles = ", ".join(one.title for one in layers)
            raise UsageError(f"the map has no layer {name!r}", remedy=f"It has {titles}")
        found |= ids
    return frozenset(found)


def _extent(extent: Envelope, plan: Plan) -> tuple[float, float, float, float]:
    corners = (extent.xmin, extent.ymin, extent.xmax, extent.ymax)
    box = box_in(corners, extent.spatial_reference or plan.reference, plan.reference)
    if box is None or not is_sound(box, plan.reference):
        wkid = plan.reference.wkid
        raise UsageError(
            "--extent is in a spatial reference that cannot be turned into that of the map",
            remedy=f"Give it in the map's own: XMIN,YMIN,XMAX,YMAX,{wkid}" if wkid else "Leave it",
        )
    return box


def _shown(drawn: Drawn, plan: Plan) -> Envelope:
    xmin, ymin, xmax, ymax = drawn.shown
    return Envelope(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, spatial_reference=plan.reference)


def _layer_facts(one: LayerPlan) -> LayerFacts:
    classes = one.renderer.classes
    return LayerFacts(
        id=one.id,
        title=one.title,
        is_drawn=one.is_drawn,
        features=one.features,
        outside=one.outside,
        without_place=one.without_shape,
        classes=tuple(
            ClassFacts(
                label=None if at == OTHER else classes[at].label or one.title, features=count
            )
            for at, count in sorted(one.drawn.items())
        ),
        notes=tuple(one.notes),
    )


def _lines(
    path: Path, size_bytes: int, layers: list[LayerFacts], plan: Plan, drawn: Drawn
) -> Iterator[str]:
    shown = [one for one in layers if one.is_drawn]
    if shown:
        yield from table(
            HEADINGS,
            [(one.title, one.features, one.outside, one.without_place) for one in shown],
        )
    for one in layers:
        if not one.is_drawn and not one.notes:
            yield f"{one.title}: hidden in the map, not drawn; --layer draws it."
        for note in one.notes:
            yield f"{one.title}: {note}."
    for missing in plan.missing:
        reason = missing.reason or "its author keeps it online"
        yield f"{missing.title}: not on this device: {reason}."
    for note in plan.notes:
        yield f"{note}."
    if drawn.marks_outside:
        told = number(drawn.marks_outside, "mark")
        yield f"{told} outside the picture; --extent shows another part of the map."
    edits = sum(drawn.marks[mark] for mark in (Mark.ADDED, Mark.UPDATED, Mark.DELETED))
    yield (
        f"{path}: {number(sum(one.features for one in shown), 'feature')}, "
        f"{number(edits, 'edit')} to send, {number(drawn.marks[Mark.CONFLICT], 'conflict')}, "
        f"{drawn.marks[Mark.QUARANTINED]} refused ({size(size_bytes)})."
    )
