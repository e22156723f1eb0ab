"""How a demo is told: in a folder of its own, claim by claim, to an end that says how it was."""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engine import EngineError


class NotSoError(Exception):
    """Something that is promised is not so; the text says what."""


class Checks:
    """Claims, each told with a tick; the first that is not true ends the demo."""

    def __init__(self) -> None:
        self.count = 0

    def that(self, claim: str, *, is_true: bool, evidence: object = "") -> None:
        if not is_true:
            raise NotSoError(f"this should be so, and is not: {claim}. Found: {evidence}")
        self.count += 1
        print(f"   ✓ {claim}")


def run(name: str, story: Callable[[Path, Checks], None], *, is_kept: bool) -> int:
    """Tell ``story``, in a folder that is removed then unless it ``is_kept``; the exit code, which
    is 0 only if all of it came true."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = Path(tempfile.mkdtemp(prefix=f"fieldsync {name} "))  # a space, as people have them
    checks, started = Checks(), time.monotonic()
    try:
        story(place, checks)
    except (NotSoError, EngineError, RuntimeError, OSError) as error:
        print(f"\n{name}: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return 130
    finally:
        if is_kept:
            print(f"\nEverything is kept in '{place}'.")
        else:
            shutil.rmtree(place, ignore_errors=True)
    print(f"\nOK: {checks.count} checks in {time.monotonic() - started:.0f} s.")
    return 0


def require(*needed: str | Path) -> None:
    """:exc:`NotSoError` names the programs and files that scripts/setup could not put here."""
    missing = [
        str(one)
        for one in needed
        if not (one.is_file() if isinstance(one, Path) else shutil.which(one))
    ]
    if missing:
        raise NotSoError(f"{' and '.join(missing)} missing; see what scripts/setup says")


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def say(*lines: str) -> None:
    for line in lines:
        print(f"   {line}".rstrip(), flush=True)
