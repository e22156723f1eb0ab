"""What outlives a restart and a power cut: small, written rarely, whole or not at all.

No moment of it is a time of day: after a power cut nobody knows how long the device was off, and
its clock may be wrong. What is kept is how long something still lasts.
"""

import asyncio
import fcntl
import json
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from device.durable_file import replace_file, sync_folder
from device.log import event
from device.waiting import until_set
from engine import Clock, EngineError

FILE_NAME, FLAG_NAME = "state.json", "running"
FORMAT = 1
MAX_BYTES = 256 * 1024
WRITE_EVERY_S = 60.0
"""What is not urgent is written at most so often: each write wears the card a little."""


class StateError(EngineError):
    """The state cannot be kept; the daemon goes on without."""

    code = "state"
    default_remedy = "Check that the disk is not full or read-only, and the owner of the folder"


class StateInUseError(StateError):
    """Another daemon keeps its state in this folder: each would overwrite what the other keeps."""

    default_remedy = "Stop it first: systemctl stop fieldsync; or name another folder: device.state"


class State:
    """Sections of plain JSON values, each replaced as a whole. A damaged file counts as none."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.was_clean = True
        """Whether the last daemon that used the folder ended in good order."""
        self.is_lost = False
        """Whether the disk did not take it when it was last written."""
        self._clock = clock
        self._sections: dict[str, object] = {}
        self._written: str = ""
        self._unlock: weakref.finalize[..., State] | None = None
        """Lets go of the flag, which is open and locked while we run."""
        self._is_unmarked = False
        self._writing = threading.Lock()
        self._dirty = asyncio.Event()
        self._is_urgent = asyncio.Event()

    # --- reading and changing ---------------------------------------------------------------------

    def load(self) -> None:
        """Read what there is. A file that is not understood is set aside and told of."""
        path = self.folder / FILE_NAME
        try:
            with open(path, "rb") as stream:
                text = stream.read(MAX_BYTES).decode()
            value = json.loads(text)
            if not isinstance(value, dict) or value.get("format") != FORMAT:
                raise ValueError("it has another form")
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            event("state.unreadable", 30, file=path, error=error)
            try:
                os.replace(path, path.with_name(f"{FILE_NAME}.broken"))
            except OSError:
                return
            return
        self._sections = {name: one for name, one in value.items() if name != "format"}
        self._written = text

    def get(self, section: str) -> Mapping[str, object]:
        """A section as it was put; empty if it never was."""
        value = self._sections.get(section)
        return cast("dict[str, object]", value) if isinstance(value, dict) else {}

    def put(self, section: str, value: Mapping[str, object], *, is_urgent: bool = False) -> None:
        """Replace a section. It is written soon; at once, if a person would miss it."""
        if self._sections.get(section) == value:
            return
        self._sections[section] = dict(value)
        self._dirty.set()
        if is_urgent:
            self._is_urgent.set()

    # The names that the policy's budgets ask for.

    def load_budgets(self) -> Mapping[str, object]:
        return self.get("budgets")

    def save_budgets(self, saved: Mapping[str, object]) -> None:
        self.put("budgets", saved)

    # --- writing ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what changed, until cancelled. :exc:`StateError` if the disk does not take it."""
        while True:
            await self._dirty.wait()
            self._is_urgent.clear()
            await asyncio.to_thread(self.write)
            may_write_at = self._clock.monotonic() + WRITE_EVERY_S
            await until_set(self._is_urgent, self._clock, may_write_at)

    def write(self) -> None:
        """Write now, if something changed. :exc:`StateError`."""
        with self._writing:  # :meth:`run` was perhaps cancelled while its thread writes
            self._dirty.clear()
            text = json.dumps({"format": FORMAT, **self._sections}, indent=1)
            if text == self._written:
                return
            try:
                if self._is_unmarked:  # it could not be written when we began
                    self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._mark()
                replace_file(self.folder / FILE_NAME, text.encode())
            except OSError as error:
                self._dirty.set()
                raise self._failed(error) from error
            self._written, self.is_lost = text, False

    # --- clean and unclean stops ------------------------------------------------------------------

    def begin(self) -> None:
        """Note that a daemon runs. :attr:`was_clean` says how the last one ended.

        :exc:`StateInUseError` if it runs still; :exc:`StateError` if nothing can be noted: it is
        tried again with each write.
        """
        try:
            self._is_unmarked = True
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.was_clean = not (self.folder / FLAG_NAME).exists()
            self._mark()
        except OSError as error:
            raise self._failed(error) from error

    def _mark(self) -> None:
        path = self.folder / FLAG_NAME
        if not path.exists():
            replace_file(path, b"fieldsyncd runs, or was cut off\n")
        flag = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(flag, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(flag)
            raise StateInUseError(f"another daemon keeps its state in {self.folder}") from None
        except OSError as error:  # a file system without locks
            event("state.unlocked", 30, error=error)
        self._unlock, self._is_unmarked = weakref.finalize(self, os.close, flag), False

    def end(self) -> None:
        """Write what is left and note that the daemon ended in good order. :exc:`StateError`."""
        try:
            self.write()
            (self.folder / FLAG_NAME).unlink(missing_ok=True)
            sync_folder(self.folder)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            if self._unlock is not None:
                self._unlock()

    def _failed(self, error: OSError) -> StateError:
        self.is_lost = True
        return StateError(f"the state in {self.folder} cannot be kept: {error.strerror or error}")
