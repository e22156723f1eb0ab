"""Plays schedules by the thousand: ``python -m tests.engine.sync.schedules.soak --help``."""

import argparse
import asyncio
import functools
import json
import logging
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import aiohttp.multipart

from tests.engine.sync.schedules.ledger import Ledger
from tests.engine.sync.schedules.machine import play
from tests.engine.sync.schedules.schedule import Schedule, draw_schedule
from tests.engine.sync.schedules.shrinking import kind, shrunk
from tests.engine.sync.schedules.world import Templates

ROOT = Path(__file__).parents[4]
RECORD = ROOT / ".cache" / "soak" / "runs.ndjson"
LONGEST_S = 120.0

Played = tuple[int, list[str]] | None
"""A seed and what was wrong; None when a process is at its end."""


class Player:
    """Plays schedules one after the other, in one folder that lies in memory where it can."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        place = memory if memory.is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="fieldsync-soak-", dir=place))
        _parse = aiohttp.multipart.parse_content_disposition
        if not hasattr(_parse, "cache_info"):  # a third of the reference service's time
            aiohttp.multipart.parse_content_disposition = functools.cache(_parse)
        tempfile.tempdir = str(self._folder)  # where the service keeps what it is sent
        self._templates = Templates(self._folder / "templates")
        self.ledger = Ledger()

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *error: object) -> None:
        tempfile.tempdir = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def play(self, schedule: Schedule) -> list[str]:
        """What was wrong; an unexpected exception is wrong, too."""
        folder = self._folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            self.ledger = Ledger()
            run = play(schedule, self._templates, folder, self.ledger)
            return asyncio.run(asyncio.wait_for(run, LONGEST_S))
        except Exception:
            return [traceback.format_exc()]


def _work(
    first: int, step: int, until: float, last: int | None, found: "multiprocessing.Queue[Played]"
) -> None:
    """One process: every ``step``-th seed from ``first`` on."""
    logging.disable(logging.CRITICAL)
    seed = first
    with Player() as player:
        while time.monotonic() < until and (last is None or seed <= last):
            found.put((seed, player.play(draw_schedule(seed))))
            seed += step
    found.put(None)


def explain(seed: int, *, is_shrunk: bool = True) -> list[str]:
    """Play one schedule, print it, and print a smaller one that goes wrong as well."""
    logging.disable(logging.CRITICAL)
    schedule = draw_schedule(seed)
    with Player() as player:
        wrong = player.play(schedule)
        if wrong and is_shrunk:
            kinds = {kind(line) for line in wrong}
            schedule = shrunk(
                schedule, lambda candidate: bool(kinds & set(map(kind, player.play(candidate))))
            )
            wrong = player.play(schedule) or wrong
        saved = player.ledger.entries
    print(schedule)
    for entry in saved:
        print(f"  {entry}")
    for line in wrong:
        print(f"  WRONG {line}")
    return wrong


def soak(seconds: float, first: int, processes: int, count: int | None) -> int:
    """Play for so long; the number of schedules that went wrong."""
    started = time.monotonic()
    last = None if count is None else first + count - 1
    queue: multiprocessing.Queue[Played] = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(
            target=_work, args=(first + n, processes, started + seconds, last, queue)
        )
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    played, failed, open_workers, newest = 0, [], processes, first - 1
    while open_workers:
        answer = queue.get()
        if answer is None:
            open_workers -= 1
            continue
        seed, wrong = answer
        played, newest = played + 1, max(newest, seed)
        if wrong:
            failed.append(seed)
            print(f"seed {seed}: {wrong[0].strip().splitlines()[-1]}", flush=True)
    for worker in workers:
        worker.join()
    seconds = time.monotonic() - started
    record = {"first": first, "last": newest, "played": played, "failed": failed}
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    with open(RECORD, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({**record, "seconds": round(seconds)}) + "\n")
    print(
        f"{played} schedules, seeds {first} to {newest}, {len(failed)} violations, {seconds:.0f} s"
    )
    return len(failed)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=5.0)
    parser.add_argument("--seed", type=int, help="play this schedule alone, and shrink it")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--count", type=int, help="so many schedules at most")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    given = parser.parse_args(arguments)
    if given.seed is not None:
        return 1 if explain(given.seed) else 0
    return 1 if soak(given.minutes * 60, given.first, given.processes, given.count) else 0


if __name__ == "__main__":
    sys.exit(main())
