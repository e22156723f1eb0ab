"""Plays schedules by the thousand: ``python -m tests.engine.sync.schedules.soak --help``."""

import argparse
import asyncio
import functools
import json
import logging
import multiprocessing
import multiprocessing.connection
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp.multipart

from tests.engine.sync.schedules.ledger import Ledger
from tests.engine.sync.schedules.play import play
from tests.engine.sync.schedules.schedule import Schedule, draw_schedule
from tests.engine.sync.schedules.shrinking import kind, shrunk
from tests.engine.sync.schedules.world import Templates

ROOT = Path(__file__).parents[4]
RECORD = ROOT / ".cache" / "soak" / "runs.ndjson"
LONGEST_S = 120.0
FORK = multiprocessing.get_context("fork")
PATIENCE_S = LONGEST_S + 30  # a process that does not end its schedule by itself is killed


def _fresh_folder() -> Path:
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    return Path(tempfile.mkdtemp(prefix="fieldsync-soak-", dir=place))


class Player:
    """Plays schedules one after the other, in one folder that lies in memory where it can."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or _fresh_folder()
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


def _work(folder: Path, seeds: range, until: float, told: Connection) -> None:
    """One process: says each seed before it plays it, and afterwards what was wrong."""
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    with Player(folder) as player:
        for seed in seeds:
            if time.monotonic() >= until:
                break
            told.send((seed, None))
            told.send((seed, player.play(draw_schedule(seed))))
    told.close()


class _Worker:
    """A process that plays every ``step``-th seed. Where it dies or hangs, its schedule was wrong,
    and another process goes on behind that one."""

    def __init__(self, first: int, step: int, last: int | None, until: float) -> None:
        self._step, self._last, self._until = step, last, until
        self._start(first)

    def _start(self, first: int) -> None:
        seeds = range(first, (sys.maxsize if self._last is None else self._last) + 1, self._step)
        self.told, ours = FORK.Pipe(duplex=False)
        self._folder = _fresh_folder()
        self._process = FORK.Process(target=_work, args=(self._folder, seeds, self._until, ours))
        self._process.start()
        ours.close()
        self._seed, self._since = first, time.monotonic()

    def answer(self) -> tuple[int, list[str]] | None:
        """The next schedule that was played; None if one has begun. Raises EOFError at the end."""
        try:
            self._seed, wrong = self.told.recv()
        except EOFError:
            self._process.join()
            if self._process.exitcode:
                return self._abandoned(f"its process ended with {self._process.exitcode}")
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._since = time.monotonic()
        return None if wrong is None else (self._seed, wrong)

    def hung(self) -> tuple[int, list[str]] | None:
        """The schedule that will not end."""
        if time.monotonic() - self._since < PATIENCE_S:
            return None
        self.kill()
        return self._abandoned(f"it did not end within {PATIENCE_S:.0f} s")

    def kill(self) -> None:
        """End it in the middle of its schedule."""
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _abandoned(self, why: str) -> tuple[int, list[str]]:
        seed = self._seed
        self.told.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._start(seed + self._step)
        return seed, [why]


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


def _answers(workers: list[_Worker]) -> Iterator[tuple[int, list[str]]]:
    """What the processes tell within a second; those that have ended leave the list."""
    ready = multiprocessing.connection.wait([w.told for w in workers], timeout=1.0)
    for worker in list(workers):
        try:
            answer = worker.answer() if worker.told in ready else worker.hung()
        except EOFError:
            workers.remove(worker)
            continue
        if answer is not None:
            yield answer


def soak(seconds: float, first: int, processes: int, count: int | None) -> int:
    """Play for so long, or until it is interrupted; the number of schedules that went wrong."""
    started = time.monotonic()
    last = None if count is None else first + count - 1
    workers = [_Worker(first + n, processes, last, started + seconds) for n in range(processes)]
    played, failed, newest = 0, [], first - 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while workers:
            for answer in _answers(workers):
                seed, wrong = answer
                played, newest = played + 1, max(newest, seed)
                if wrong:
                    failed.append(seed)
                    print(f"seed {seed}: {wrong[0].strip().splitlines()[-1][:300]}", flush=True)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for worker in workers:
            worker.kill()
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
