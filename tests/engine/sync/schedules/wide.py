"""What makes a schedule wide: more than edits, syncs and decisions, all sizes small.

Edits are carried in files, the service's layers change, layers are left out of a sync, a map gets
another replica, a device's clock jumps, a person decides in the middle of a sync, and more than one
thing happens in the same sync.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

from engine.model import SyncDirection, SyncModel
from tests.engine.sync.schedules.step import Event, Step
from tests.engine.sync.schedules.world import LAYERS
from tests.feature_service import Fault
from tests.feature_service.fault import Kind

_FIRST_NUMBER = 30  # of steps and events; those of a plain schedule have the ones below

_KINDS = (
    *(["burst"] * 2),
    *(["album"] * 2),
    *(["carry"] * 4),
    *(["schema"] * 2),
    *(["sync"] * 2),
    "register",
    "clock",
    "uploads-purged",
)
_THEN = (
    *(["kill"] * 3),
    *(["power"] * 2),
    *(["foreign"] * 3),
    *(["office"] * 2),
    *(["decide"] * 3),
    *(["photo"] * 3),
    "schema",
    "cancel",
)
_RESULTS: tuple[Kind, ...] = ("results-missing", "results-reversed")
_IN_A_PUSH = (*(["kill"] * 4), *(["office"] * 2), "sync", "cancel")
_IN_AN_IMPORT = (*(["kill"] * 2), *(["power"] * 2), *(["foreign"] * 2), "decide")

SIZES = {
    "engine.geodatabase.change_log.BATCH_BYTES": 3000,
    "engine.geodatabase.merge.CHUNK": 2,
    "engine.sync.batch_sizer.MAX_BYTES": 1600,
    "engine.sync.batch_sizer.MIN_BYTES": 400,
    "engine.sync.batch_sizer.START_BYTES": 800,
    "engine.sync.batches.MAX_EDITS": 3,
    "engine.sync.cascades.QUERY_ROWS": 2,
    "engine.sync.channels.ASYNC_BYTES": 300,
    "engine.sync.delta_acknowledge.SLICE": 1,
    "engine.sync.delta_answer.CHUNK": 2,
    "engine.sync.delta_carrier.BATCH_EDITS": 2,
    "engine.sync.delta_carrier.PIECES": 1,
    "engine.sync.delta_carrier.QUERY_ROWS": 2,
    "engine.sync.delta_parents.QUERY_ROWS": 2,
    "engine.sync.incoming.FETCH_BATCH": 2,
    "engine.sync.pull.PART_ROWS": 1,
    "engine.sync.pull.QUERY_ROWS": 2,
    "engine.sync.pull.SLICE_S": 0.0,
    "engine.sync.read_back.FEW_ROWS": 1,
    "engine.sync.read_back.QUERY_ROWS": 2,
    "engine.sync.rebase.QUERY_ROWS": 2,
    "engine.sync.schema_change.FILL_ROWS": 2,
    "native.delta_writer.ROWS_MAX": 2,
}
"""What makes a few rows many: slices, pages, batches, jobs and uploads in parts."""


@contextmanager
def small_sizes() -> Iterator[None]:
    """Every size of :data:`SIZES` in the engine."""
    with ExitStack() as stack:
        for name, size in SIZES.items():
            stack.enter_context(patch(name, size))
        yield


def widened(
    draw: random.Random, steps: Sequence[Step], names: Sequence[str], model: SyncModel
) -> tuple[Step, ...]:
    """The steps of a plain schedule with more among them, and with more in their syncs."""
    numbers = itertools.count(_FIRST_NUMBER)
    found = [_fuller(draw, step, numbers, model) for step in steps]
    for _ in range(draw.choice([1, 2, 3, 4, 6])):
        kind = draw.choice(_KINDS)
        for step in _more(draw, kind, draw.choice(names), numbers, model):
            # A file is carried some time after it was written.
            first = 1 + max(
                (n for n, one in enumerate(found) if one.what.startswith("carry")), default=-1
            )
            begin = first if step.what in ("carry-push", "carry-in") else 0
            found.insert(draw.randrange(begin, len(found) + 1), step)
    return tuple(found)


def _fuller(draw: random.Random, step: Step, numbers: Iterator[int], model: SyncModel) -> Step:
    if step.what != "sync":
        return step
    if draw.random() < 0.3:
        operation = draw.choice(["applyEdits", "synchronizeReplica"])
        kind, times = draw.choice(_RESULTS), draw.choice([1, 3])
        fault = Fault(kind=kind, operation=operation, skip=draw.randrange(2), times=times)
        step = replace(step, faults=(*step.faults, fault))
    if step.event is not None and draw.random() < 0.5:
        then = [_event(draw, _THEN, numbers) for _ in range(draw.choice([1, 1, 2]))]
        step = replace(step, then=tuple(then))
    if model is SyncModel.PER_LAYER and draw.random() < 0.3:
        step = replace(step, directions=_directions(draw))
    if draw.random() < 0.1:  # a layer that cannot be read, after all layers at once
        unread = Fault(kind="expired-result", operation="layer", skip=draw.randrange(4))
        together = Fault(kind="expired-result", operation="layers")
        step = replace(step, faults=(*step.faults, together, unread))
    return step


def _more(
    draw: random.Random, kind: str, name: str, numbers: Iterator[int], model: SyncModel
) -> list[Step]:
    step = Step(number=next(numbers), draw=draw.randrange(1 << 30), what=kind, device=name)
    match kind:
        case "carry":
            steps = [replace(step, what="carry-out")]
            for what, events in (("carry-push", _IN_A_PUSH), ("carry-in", _IN_AN_IMPORT)):
                for _ in range(draw.choice([1, 1, 2])):
                    event = _event(draw, events, numbers) if draw.random() < 0.5 else None
                    one = replace(step, what=what, draw=draw.randrange(1 << 30), event=event)
                    steps.append(replace(one, number=next(numbers)))
            return steps
        case "sync":
            event = _event(draw, _THEN, numbers)
            return [_fuller(draw, replace(step, event=event), numbers, model)]
        case "register" if draw.random() < 0.5:
            return [replace(step, event=_event(draw, ("kill", "power"), numbers))]
        case "schema" | "uploads-purged":
            return [replace(step, device="")]
    return [step]


def _event(draw: random.Random, kinds: Sequence[str], numbers: Iterator[int]) -> Event:
    at = draw.choice([draw.randrange(1, 6), draw.randrange(1, 15), draw.randrange(1, 60)])
    seed = draw.randrange(1 << 30)
    return Event(at=at, what=draw.choice(kinds), draw=seed, number=next(numbers))


def _directions(draw: random.Random) -> tuple[tuple[int, SyncDirection], ...]:
    ways = list(SyncDirection)
    return tuple((layer, draw.choice(ways)) for layer in LAYERS if draw.random() < 0.8)
