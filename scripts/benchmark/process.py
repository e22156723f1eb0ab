"""Work measured in processes of its own: CPU seconds and peak resident memory.

What a process needs to start (the interpreter, its imports) is left out on both sides: a peer
tells it by starting without anything to do, our workers by a look at themselves before the work.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

_KILOBYTE = 1024


class WorkerError(RuntimeError):
    """A measured process failed; the message ends with what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a piece of work took. ``idle_mb`` is what its process held before the work.

    ``found`` is what the work itself has to say: counts, sizes.
    """

    cpu_s: float
    peak_mb: float
    idle_mb: float
    found: Any = None

    @property
    def above_idle_mb(self) -> float:
        return self.peak_mb - self.idle_mb


def run_worker(task: str, arguments: Mapping[str, object]) -> Cost:
    """Run one task of :mod:`scripts.benchmark.worker` in a new interpreter."""
    command = [sys.executable, "-m", "scripts.benchmark.worker", task, json.dumps(arguments)]
    output, _, _ = _run(command)
    return Cost(**json.loads(output.splitlines()[-1]))


def run_peer(commands: Sequence[Sequence[str]], idle: Sequence[str]) -> Cost:
    """Run a peer's commands one after the other; ``idle`` is how it starts and does nothing."""
    _, idle_s, idle_mb = _run(idle)
    cpu_s = peak_mb = 0.0
    for command in commands:
        _, command_s, command_mb = _run(command)
        cpu_s += command_s - idle_s
        peak_mb = max(peak_mb, command_mb)
    return Cost(cpu_s=cpu_s, peak_mb=peak_mb, idle_mb=idle_mb)


def typical(measures: Sequence[Callable[[], Cost]], runs: int) -> list[Cost]:
    """The medians of so many runs of each; what was found is the last run's.

    They take turns, so that a machine that is busy for a while slows all of them alike.
    """
    rounds = [[measure() for measure in measures] for _ in range(runs)]
    return [
        Cost(
            cpu_s=median(cost.cpu_s for cost in costs),
            peak_mb=median(cost.peak_mb for cost in costs),
            idle_mb=median(cost.idle_mb for cost in costs),
            found=costs[-1].found,
        )
        for costs in zip(*rounds, strict=True)
    ]


def _run(command: Sequence[str]) -> tuple[str, float, float]:
    """Output, CPU seconds and peak megabytes of a command.

    The peak that the system reports is at least what the parent held when it started the child,
    which is why the parent imports nothing large.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise WorkerError(f"{' '.join(command)} failed:\n{text[-2000:]}")
    return text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _KILOBYTE
