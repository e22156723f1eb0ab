"""Engines that break the promise, to see that the schedules would notice."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from engine.geodatabase import acknowledge, connection as connections, journal
from engine.geodatabase.difference import Merged, three_way
from engine.geodatabase.replica import set_generations
from engine.sync import pull, push, reconciling, settlement
from engine.sync.case import Case, key_of
from engine.sync.parameters import PushChannel
from engine.sync.reconciling import give_up
from engine.sync.recording import Outcome, Settled
from tests.engine.sync.schedules.schedule import Schedule
from tests.engine.sync.schedules.step import Event, Step

Sabotage = Callable[[], AbstractContextManager[None]]


@contextmanager
def commits_are_not_flushed() -> Iterator[None]:
    """SQLite says that it has committed before the disk has it."""
    pragmas = tuple(
        "synchronous=OFF" if p.startswith("synchronous") else p for p in connections._PRAGMAS
    )
    with patch.object(connections, "_PRAGMAS", pragmas):
        yield


@contextmanager
def completed_is_success() -> Iterator[None]:
    """A call that was answered counts as success of all its edits."""

    def is_acknowledged(case: Any) -> bool:
        return case.is_passed_over or (case.answer is not None and case.answer.success)

    with patch.object(Case, "is_acknowledged", property(is_acknowledged)):
        yield


@contextmanager
def base_is_the_present_row() -> Iterator[None]:
    """What the service is believed to have is not what was sent, but what is here by then."""

    def confirmed(logged: Any, sent: Any, values: Any, base: Any, present: Any) -> Any:
        return values if present is None else present

    with patch.object(acknowledge, "_confirmed", confirmed):
        yield


@contextmanager
def lost_answers_are_not_found_out() -> Iterator[None]:
    """What was sent without an answer is simply sent again."""

    async def reconcile(context: Any, channel: Any, batch_id: int) -> Settled:
        batch = await context.database.read(journal.get_batch, batch_id)
        edits = await context.database.read(reconciling._sent, context, batch.id)
        await context.write(give_up, batch_id)
        return Settled(outcomes={key_of(edit): Outcome.PENDING for edit in edits})

    with (
        patch.object(push, "reconcile_batch", reconcile),
        patch.object(reconciling, "reconcile_batch", reconcile),
    ):
        yield


@contextmanager
def generation_moves_before_the_merge() -> Iterator[None]:
    """The new generation is stored first, and then the rows that belong to it."""
    merge = pull.merge_file

    async def merge_file(
        context: Any, path: Any, header: Any, envelope: Any, **options: Any
    ) -> None:
        server, layers = pull._generations(context, header, envelope)

        def move(connection: sqlite3.Connection) -> None:
            set_generations(connection, server=server, layers=layers)

        await context.write(move)
        await merge(context, path, header, envelope, **options)

    with patch.object(pull, "merge_file", merge_file):
        yield


@contextmanager
def the_service_always_wins() -> Iterator[None]:
    """Where both sides changed a value, ours is dropped without a record."""

    def merged(*args: Any, **options: Any) -> Merged:
        result = three_way(*args, **{**options, "theirs_win": True})
        return Merged(result.row, ())

    with patch("engine.geodatabase.merge_row.three_way", merged):
        yield


@contextmanager
def refusals_are_forgotten() -> Iterator[None]:
    """An edit that the service refused counts as done."""

    def is_acknowledged(case: Any) -> bool:
        return case.answer is not None

    with patch.object(Case, "is_acknowledged", property(is_acknowledged)):
        yield


@contextmanager
def deletes_are_not_read_back() -> Iterator[None]:
    """Rows that a delete took along on the service stay here."""

    async def nothing(context: Any, cases: Sequence[Any]) -> None:
        return

    with patch.object(settlement, "refresh_related", nothing):
        yield


def as_drawn(schedule: Schedule) -> Schedule:
    return schedule


def without_results(schedule: Schedule) -> Schedule:
    """The same with a service that gives no results of edits."""
    profile = replace(schedule.profile, results_place="none")
    channel = PushChannel.SYNCHRONIZE_REPLICA
    parties = tuple(replace(party, channel=channel) for party in schedule.parties)
    return replace(schedule, profile=profile, parties=parties)


def dying_in_mid_sync(schedule: Schedule) -> Schedule:
    """The same with devices that die while they send, and an office that edits just that row."""

    def dying(step: Step) -> Step:
        if step.what != "sync":
            return step
        event = Event(at=6 + step.draw % 14, what="overtaken", draw=step.draw)
        return replace(step, faults=(), event=event, then=())

    steps = tuple(map(dying, schedule.steps))
    return replace(schedule, steps=steps, is_narrow=True)


SABOTAGES: Mapping[Sabotage, Callable[[Schedule], Schedule]] = {
    commits_are_not_flushed: as_drawn,
    completed_is_success: without_results,
    base_is_the_present_row: as_drawn,
    lost_answers_are_not_found_out: dying_in_mid_sync,
    generation_moves_before_the_merge: as_drawn,
    the_service_always_wins: as_drawn,
    refusals_are_forgotten: as_drawn,
    deletes_are_not_read_back: as_drawn,
}
"""How an engine may break the promise → the schedules among which that shows soon."""
