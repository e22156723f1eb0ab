"""Random schedules leave no edit lost, doubled or stuck; and engines that lose some are noticed."""

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.sync.schedules import soak
from tests.engine.sync.schedules.sabotage import SABOTAGES, Sabotage
from tests.engine.sync.schedules.schedule import Schedule, draw_schedule
from tests.engine.sync.schedules.shrinking import shrunk
from tests.engine.sync.schedules.soak import Player

NOTICED_WITHIN = 60  # schedules


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    tmp_path_factory.getbasetemp()  # before the player says where temporary files are
    with Player() as one:
        yield one


@pytest.mark.parametrize("seed", range(1, 7))
def test_schedule_when_played_then_every_edit_is_accounted_for(player: Player, seed: int) -> None:
    schedule = draw_schedule(seed)

    wrong = player.play(schedule)

    assert not wrong, f"{schedule}\nscripts/soak --seed {seed} makes it smaller\n" + "\n".join(
        wrong
    )


@pytest.mark.slow
def test_schedules_when_played_then_every_edit_is_accounted_for(player: Player) -> None:
    wrong = {seed: player.play(draw_schedule(seed)) for seed in range(7, 19)}

    assert not any(wrong.values()), {seed: lines[:3] for seed, lines in wrong.items() if lines}


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda s: s.__name__)
def test_schedules_when_the_engine_breaks_its_promise_then_it_is_noticed(
    player: Player, sabotage: Sabotage
) -> None:
    among = SABOTAGES[sabotage]
    schedules = [among(draw_schedule(seed)) for seed in range(1, NOTICED_WITHIN + 1)]

    with sabotage():
        noticed = any(map(player.play, schedules))

    assert noticed


def test_soak_when_a_schedule_hangs_or_its_process_dies_then_counted_and_the_rest_is_played(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def play(_: Player, schedule: Schedule) -> list[str]:
        if schedule.seed == 3:
            threading.Event().wait()
        if schedule.seed == 6:
            os._exit(7)
        return []

    monkeypatch.setattr(Player, "play", play)
    monkeypatch.setattr(soak, "PATIENCE_S", 0.5)
    monkeypatch.setattr(soak, "RECORD", tmp_path / "runs.ndjson")

    wrong = soak.soak(60.0, 1, 2, 9)

    assert wrong == 2
    printed = capsys.readouterr().out
    assert "seed 3: it did not end within 0 s" in printed
    assert "seed 6: its process ended with 7" in printed
    assert "9 schedules, seeds 1 to 9, 2 violations" in printed


def test_schedule_when_drawn_again_then_the_same() -> None:
    assert draw_schedule(77) == draw_schedule(77)
    assert draw_schedule(77) != draw_schedule(78)


def test_shrunk_when_one_step_is_guilty_then_it_is_left_alone() -> None:
    schedule = draw_schedule(3)
    guilty = schedule.steps[len(schedule.steps) // 2]

    smaller = shrunk(
        schedule, lambda candidate: guilty.number in {step.number for step in candidate.steps}
    )

    assert [step.number for step in smaller.steps] == [guilty.number]
    assert smaller.profile == replace(smaller.profile)
