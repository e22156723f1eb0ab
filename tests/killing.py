"""Kills a piece of work everywhere in turn, and looks at what is left each time.

A :class:`Scenario` is prepared in a fresh folder, started in a child process that ends at the
first fault point (or source line), and checked; then at the second, and so on, until the child
survives. After each kill the work is run again to its end: what may be killed must be repeatable.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from engine import faults
from tests.fault_points import KILLED_BY

KILLED = 75
MOST_KILLS = 5000
ROOT = Path(__file__).parents[1]


class Scenario(Protocol):
    """Work that must leave a whole state behind wherever it is killed."""

    def prepare(self, folder: Path) -> None:
        """Make the state before the work, in an empty folder."""

    def act(self, folder: Path) -> None:
        """The work. May be killed anywhere, and is then run again."""

    def check(self, folder: Path, *, finished: bool) -> None:
        """Assert what must hold: at any time, and when the work has run to its end."""


def kill_at_points(scenario: type[Scenario], folder: Path) -> list[str]:
    """Kill at every fault point in turn; returns the names of the points, in order.

    A scenario may name the points that matter in a set ``only``: the others are passed. Where
    another scenario has the same points, its ``stride`` says how many to go on by. Those that
    the table of fault points has for the scenario must be among them.
    """
    places = _kill(scenario, folder, "points")
    promised = {point for point, killer in KILLED_BY.items() if killer == scenario.__name__}
    assert promised <= set(places), promised - set(places)
    return places


def kill_at_lines(scenario: type[Scenario], folder: Path, source: str) -> list[str]:
    """Kill before every line that runs in the file ``source``; returns the line numbers."""
    return _kill(scenario, folder, source)


def _kill(scenario: type[Scenario], folder: Path, where: str) -> list[str]:
    """In a process of its own: forking one that has threads would be unsafe."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, scenario.__module__, scenario.__name__, folder, where],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    places: list[str] = json.loads(done.stdout.splitlines()[-1])
    return places


def main(module: str, name: str, folder: str, where: str) -> None:
    scenario: Scenario = getattr(import_module(module), name)()
    places: list[str] = []
    for number in count(1, getattr(scenario, "stride", 1)):
        assert number < MOST_KILLS, "the work never ends"
        case = Path(folder, str(number))
        case.mkdir()
        scenario.prepare(case)
        place = _run_killed(scenario, case, number, where)
        try:
            scenario.check(case, finished=place is None)
            if place is not None:
                scenario.act(case)
                scenario.check(case, finished=True)
        except BaseException as error:
            error.add_note(f"killed at {place}, place {number} of {name} in {case}")
            raise
        if place is None:
            print(json.dumps(places))
            return
        places.append(place)


def _run_killed(scenario: Scenario, folder: Path, number: int, where: str) -> str | None:
    """The place where the child was killed; None if it came through."""
    only: frozenset[str] = getattr(scenario, "only", frozenset())

    def work(writer: int) -> int:
        with _armed(number, where, writer, only):
            scenario.act(folder)
        return 0

    status, place = forked(work)
    assert status in (0, KILLED), f"the work ended with {status}"
    return place if status == KILLED else None


def forked(work: Callable[[int], int]) -> tuple[int, str]:
    """Run ``work`` in a child: the status it ends with, 1 after an exception, and what it wrote
    into the descriptor that it is given."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = work(writer)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as stream:
        written = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), written


@contextmanager
def _armed(number: int, where: str, writer: int, only: frozenset[str]) -> Iterator[None]:
    counter = count(1)

    def reached(place: str) -> None:
        if (not only or place in only) and next(counter) == number:
            os.write(writer, place.encode())
            os._exit(KILLED)

    if where == "points":
        with faults.armed(reached):
            yield
    else:
        sys.settrace(_line_tracer(where, reached))
        yield
        sys.settrace(None)


def _line_tracer(source: str, reached: Callable[[str], None]) -> Any:  # typeshed's own type is Any
    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.endswith(source):
            return None
        if event == "line":
            reached(str(frame.f_lineno))
        return trace

    return trace


if __name__ == "__main__":
    main(*sys.argv[1:])
