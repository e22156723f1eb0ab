"""A board with three lamps, a button and a network that comes and goes, and the daemon on it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from device.api.client import ApiClient, DaemonNotRunningError
from device.api.status import Status
from device.lamps.rhythm import ACKNOWLEDGED, Rhythm, pattern, recognised
from engine import SystemClock
from scripts.demo_story.telling import NotSoError
from tests.fakes.button import FakeButton
from tests.fakes.leds import FakeLeds

LAMPS = ("fieldsync:link", "fieldsync:sync", "fieldsync:attention")
PATIENCE_S = 60.0
LOOK_S = 0.005

CONFIG = """\
[device]
state = "state"

[[map]]
name = "map"
folder = {folder!r}

[sync]
after_edit_s = 1

[links]
jitter_s = 0
interfaces = {{ wlan0 = "wifi", wwan0 = "cellular" }}

[links.wifi]
settle_s = {settle_s}

[lamps]
board = "three"
folder = "leds"

[button]
device = "button"

[socket]
path = "api.sock"
group = ""
"""


class Board:
    """The device in ``folder``; a context manager, which makes the board, not the daemon."""

    def __init__(
        self, folder: Path, map_folder: Path, *, settle_s: float = 1.0, more: str = ""
    ) -> None:
        self.folder = folder
        self.map = map_folder
        self.socket = folder / "api.sock"
        self.log = folder / "log"
        self.api = ApiClient(self.socket)
        self._config = CONFIG.format(folder=str(map_folder), settle_s=settle_s) + more
        self._clock = SystemClock()
        self.button = FakeButton(folder / "button", self._clock)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "config.toml").write_text(self._config, encoding="utf-8")
        leds = FakeLeds(self.folder / "leds")
        for lamp in LAMPS:
            leds.add(lamp, trigger="pattern")
        self.button.plug()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()
        self.button.unplug()

    # --- the daemon -------------------------------------------------------------------------------

    def start(
        self,
        *,
        before: Sequence[str] = (),
        python: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the daemon and wait until it answers. ``before``: a program that runs it;
        ``python``: another interpreter, with its options."""
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [
                    *before,
                    *(python or [sys.executable]),
                    "-m",
                    "scripts.device_lab.wired",
                    "--config",
                    self.folder / "config.toml",
                ],
                stdin=subprocess.PIPE,
                env=None if environment is None else {**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until(self._answers)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> float:
        """End it as systemd does; how long that took, in seconds."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(30)
        self._close()
        if code != 0:
            raise NotSoError(f"the daemon ended with {code}: {self.words()}")
        return time.monotonic() - began

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    def words(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    # --- what happens to it -----------------------------------------------------------------------

    def tell_kernel(self, line: str) -> None:
        """``up NAME NUMBER`` or ``down``."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def press(self, held_s: float = 0.1) -> None:
        self.button.press()
        time.sleep(held_s)
        self.button.release()

    # --- what can be seen -------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        return self.api.get(Status, "status")

    def lamp(self, name: str) -> Rhythm | None:
        """What the LED plays, as anybody may read."""
        text = (self.folder / "leds" / f"fieldsync:{name}" / "pattern").read_text()
        if text == pattern(ACKNOWLEDGED, max_brightness=1):
            return ACKNOWLEDGED
        return recognised(text)

    def until(
        self,
        holds: Callable[[], object],
        within_s: float = PATIENCE_S,
        *,
        every_s: float = LOOK_S,
    ) -> float:
        """Wait until something is so, which is looked at every ``every_s`` seconds; how long that
        took, in seconds."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() > began + within_s:
                raise NotSoError(f"this did not come true; the log says: {self.words()}")
            if self._process is not None and self._process.poll() is not None:
                raise NotSoError(f"the daemon has ended: {self.words()}")
            time.sleep(every_s)
        return time.monotonic() - began

    def _answers(self) -> bool:
        try:
            return self.status.version != ""
        except DaemonNotRunningError:
            return False
