"""Lets the disk fail, or the process die, at the n-th change of a file, SQLite's own included.

A C library that is preloaded counts the calls (``shim.c``). As in :mod:`tests.killing` a
:class:`Scenario` is prepared, run in a child that meets one fault, checked, and run again to its
end. Which calls are hit is drawn from a seed, so that few of them can stand for all.
"""

import ctypes
import errno
import json
import os
import random
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Protocol

from engine.errors import EngineError
from tests.killing import forked

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("shim.c")
FLAGS = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
KNOWN_ERROR = 3  # what a child ends with that met an error of ours
LIMIT_S = 900


class DiskFault(Enum):
    """What happens at the call. The values are what the library takes."""

    KILL = -1
    TORN_KILL = -2  # half of what was to be written is on the disk
    ENOSPC = errno.ENOSPC
    EROFS = errno.EROFS
    EIO = errno.EIO

    @property
    def is_kill(self) -> bool:
        return self.value < 0


class Scenario(Protocol):
    """Work that must leave a whole state behind wherever it is stopped."""

    def prefixes(self, folder: Path) -> Sequence[Path]:
        """What the device's files begin with; calls on other files do not count."""

    def prepare(self, folder: Path) -> None:
        """Make the state before the work, in an empty folder."""

    def act(self, folder: Path) -> None:
        """The work, which may fail with an :exc:`EngineError`, and is then run again."""

    def check(self, folder: Path, *, finished: bool) -> None:
        """Assert what must hold: at any time, and when the work has run to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One fault that was seen to fire: at the call ``at`` of ``calls``, which was ``call``."""

    fault: str
    at: int
    is_lasting: bool
    call: str
    calls: int


class Shim:
    """The preloaded library, from inside a process that has it."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._arm = library.disk_faults_arm
        self._arm.argtypes = (ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_char_p)
        self._arm.restype = None
        self._disarm = library.disk_faults_disarm
        self._count = library.disk_faults_count
        self._count.restype = ctypes.c_long
        self._fired = library.disk_faults_fired
        self._fired.restype = ctypes.c_long
        self._call = library.disk_faults_call
        self._call.restype = ctypes.c_char_p

    @contextmanager
    def armed(
        self, fault: DiskFault, at: int, prefixes: Sequence[Path], *, is_lasting: bool
    ) -> Iterator[None]:
        """Let ``fault`` happen at the call ``at`` from now (0: only count), or from it on."""
        text = "\n".join(map(str, prefixes)).encode()
        self._arm(fault.value, at, is_lasting, text)
        try:
            yield
        finally:
            self._disarm()

    @property
    def count(self) -> int:
        """How many calls there were since it was armed."""
        return int(self._count())

    @property
    def fired(self) -> int:
        """How many of them met the fault."""
        return int(self._fired())

    @property
    def call(self) -> str:
        """The last call that met it."""
        return str(self._call().decode())


def build_shim(folder: Path) -> Path:
    """Compile the library with the system's C compiler."""
    library = folder / "disk_faults.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run([*compiler, *FLAGS, str(SOURCE), "-o", str(library), "-ldl"], check=True)
    return library


def fail_anywhere(
    scenario: type[Scenario], folder: Path, fault: DiskFault, *, samples: int, seed: int
) -> list[Outcome]:
    """Run ``scenario`` with ``fault`` at ``samples`` of its calls; 0: at each one of them.

    In a process of its own, which has the library preloaded.
    """
    library = build_shim(folder)
    command = [sys.executable, "-m", "tests.disk_faults", scenario.__module__, scenario.__name__]
    command += [str(folder), str(library), fault.name, str(samples), str(seed)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [Outcome(**entry) for entry in json.loads(done.stdout.splitlines()[-1])]


def run(
    module: str, name: str, folder: str, library: str, fault_name: str, samples: str, seed: str
) -> None:
    """The body of the process with the library; prints the outcomes as JSON."""
    scenario: Scenario = getattr(import_module(module), name)()
    shim, fault = Shim(Path(library)), DiskFault[fault_name]
    calls = _count_calls(scenario, Path(folder, "count"), shim)
    rng = random.Random(int(seed))
    wanted = range(1, calls + 1)
    places = sorted(rng.sample(wanted, min(int(samples), calls))) if int(samples) else list(wanted)
    outcomes = []
    for at in places:
        is_lasting = not fault.is_kill and rng.random() < 0.5
        case = Path(folder, f"{fault_name}-{at}")
        case.mkdir()
        try:
            call = _one(scenario, case, shim, fault, at, is_lasting)
        except BaseException as error:
            error.add_note(f"{fault_name} at call {at} of {calls}, lasting {is_lasting}, in {case}")
            raise
        if call is not None:
            outcome = {"fault": fault_name, "at": at, "is_lasting": is_lasting}
            outcomes.append({**outcome, "call": call, "calls": calls})
    print(json.dumps(outcomes))


def _count_calls(scenario: Scenario, folder: Path, shim: Shim) -> int:
    folder.mkdir()
    scenario.prepare(folder)
    with shim.armed(DiskFault.EIO, 0, scenario.prefixes(folder), is_lasting=False):
        scenario.act(folder)
    scenario.check(folder, finished=True)
    return shim.count


def _one(
    scenario: Scenario, folder: Path, shim: Shim, fault: DiskFault, at: int, is_lasting: bool
) -> str | None:
    """Run with one fault and look, then without; which call met it, None if there were fewer."""
    scenario.prepare(folder)
    status, call = _child(scenario, folder, shim, fault, at, is_lasting)
    if fault.is_kill and status == -signal.SIGKILL:
        call = call or "killed"
    else:
        assert status in (0, KNOWN_ERROR), f"the work ended with {status}"
    scenario.check(folder, finished=status == 0 and not call)
    scenario.act(folder)
    scenario.check(folder, finished=True)
    return call or None


def _child(
    scenario: Scenario, folder: Path, shim: Shim, fault: DiskFault, at: int, is_lasting: bool
) -> tuple[int, str]:
    def work(writer: int) -> int:
        status = 0
        with shim.armed(fault, at, scenario.prefixes(folder), is_lasting=is_lasting):
            try:
                scenario.act(folder)
            except EngineError:
                status = KNOWN_ERROR
        os.write(writer, shim.call.encode() if shim.fired else b"")
        return status

    return forked(work)
