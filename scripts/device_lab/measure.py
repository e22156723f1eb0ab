"""What the daemon costs at rest and at work, and how fast it answers; measured on this machine.

Rows: ``memory``, ``writes`` (calls that write or flush while nothing happens, by strace), ``rest``
(how often it is woken), ``press`` (from the key to the lamp and to the first byte that the service
sees), ``stop``.

``memory`` is what the kernel counts as resident, with all pages of shared libraries, in MB of
1 000 000 bytes; at rest means ten seconds after the last thing that happened. A first daemon is
measured after its start, and after many syncs of one edited row each of a small map (the slope is
that of a line through the second half of them, each measured as it ends); a second one at the peak
and after the end of a sync that sends 20 000 edits and fetches them again, of 100 000 rows. With
``--tls`` the service is asked over HTTPS by a device that trusts this machine's certificates, as
/etc/ssl/certs has them, and one more.
"""

import argparse
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import linear_regression

from device.api.status import Status
from scripts.demo_story.service import Service
from scripts.device_lab.board import Board
from scripts.device_lab.story import edit, take
from scripts.device_lab.trust import trust
from tests.device.conftest import write_world
from tests.engine.sync.test_memory import write_airports
from tests.fakes.http_server import CERTIFICATES

DESCRIPTION = "Measures what the daemon costs: memory, writes, waking, and how fast it answers."
GOALS = {
    "rest_mb": 45.0,
    "after_syncs_mb": 45.0,
    "peak_mb": 60.0,
    "slope_kb_per_sync": 2.5,
    "writes_per_minute": 1.0,
    "press_to_lamp_ms": 100.0,
    "press_to_first_byte_ms": 1000.0,
    "stop_s": 20.0,
}
WRITING = "write,pwrite64,writev,pwritev,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink"
PRESSES = 10
REST_S = 10.0
GENTLY_S = 0.5
"""How often the daemon is asked while its memory is measured: answers take some, too."""
AS_INSTALLED = ["-OO", "-X", "no_debug_ranges"]
"""The options of the interpreter in device/systemd/fieldsync.service."""

CERTIFICATE, KEY = CERTIFICATES / "lasting.pem", CERTIFICATES / "key.pem"

Row = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/device-measure",
        description=DESCRIPTION,
        epilog=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(MEASURES)}; none: all")
    parser.add_argument("--check", action="store_true", help="fail if a goal is missed")
    parser.add_argument("--syncs", type=int, default=200, help="for the slope of memory")
    parser.add_argument("--idle", type=float, default=120, help="seconds of rest that are watched")
    parser.add_argument("--tls", action="store_true", help="ask the service over HTTPS")
    parser.add_argument("--python", default=sys.executable, help="another interpreter")
    options = parser.parse_args()
    if unknown := [row for row in options.rows if row not in MEASURES]:
        parser.error(f"there is no row {unknown[0]!r}; there are {', '.join(MEASURES)}")
    lab = Lab(options.syncs, options.idle, [options.python, *AS_INSTALLED], is_secure=options.tls)
    missed = 0
    for name in options.rows or MEASURES:
        for key, value in MEASURES[name](lab).items():
            goal = GOALS.get(key)
            is_missed = goal is not None and value > goal
            missed += is_missed
            told = "" if goal is None else f"   (goal: at most {goal:g})"
            print(f"{name:8} {key:24} {value:10.2f}{told}{'   MISSED' if is_missed else ''}")
            sys.stdout.flush()
    return 1 if missed and options.check else 0


class Lab:
    """Devices for the measurements. ``python``: the interpreter that runs the daemon;
    ``is_secure``: it speaks HTTPS."""

    def __init__(
        self, syncs: int, idle_s: float, python: list[str], *, is_secure: bool = False
    ) -> None:
        self.syncs = syncs
        self.idle_s = idle_s
        self.python = python
        self.is_secure = is_secure

    @contextmanager
    def device(self, *, is_large: bool = False, settle_s: float = 0.0) -> Iterator["Device"]:
        with tempfile.TemporaryDirectory(prefix="fieldsync-measure-") as name:
            place = Path(name)
            kind = "airports" if is_large else "park"
            (write_airports if is_large else write_world)(place / "data")
            flags = []
            if self.is_secure:
                flags = ["--certificate", str(CERTIFICATE), "--key", str(KEY)]
                os.environ |= trust(CERTIFICATE, place / "certs")
            with (
                Service(place / "data", kind, place / "service.log", *flags) as service,
                tap(service.url) as (url, tapped),
                Board(place / "board", place / "map", settle_s=settle_s) as board,
            ):
                if self.is_secure:  # by a name, as services have them: that is looked up
                    url = url.replace("127.0.0.1", "localhost")
                take(url, place / "map")
                yield Device(self, board, tapped)


class Device:
    """A board whose way to the service is watched."""

    def __init__(self, lab: Lab, board: Board, tapped: list[float]) -> None:
        self.lab = lab
        self.board = board
        self.tapped = tapped

    def start(self, *, before: tuple[str, ...] = ()) -> None:
        # Once for nothing: an installed program has its bytecode, that of its options.
        cache = CACHE / "".join(self.lab.python[1:])
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache)}
        code = "import scripts.device_lab.wired"
        subprocess.run([*self.lab.python, "-c", code], check=True, env={**os.environ, **compiled})
        self.board.start(before=before, python=self.lab.python, environment=compiled)
        self.board.until(lambda: not self.status.lamps.indication.is_starting)

    @property
    def status(self) -> Status:
        return self.board.status

    def sync(self) -> None:
        """Ask for a sync and wait for its end."""
        before = self.status.last_run
        self.board.api.json("POST", "sync", body=None)
        self.board.until(
            lambda: (now := self.status).last_run != before and now.job is None, every_s=GENTLY_S
        )

    def mb(self, name: str) -> float:
        text = Path(f"/proc/{self.board.pid}/status").read_text()
        return int(text.split(f"{name}:")[1].split()[0]) * 1024 / 1e6


CACHE = Path(tempfile.gettempdir()) / "fieldsync-measure-bytecode"


def memory(lab: Lab) -> Row:
    """At rest after the start and after many syncs, and in and after one of 100 000 rows."""
    row: Row = {}
    with lab.device() as device:
        device.start()
        time.sleep(REST_S)
        row["rest_mb"] = device.mb("VmRSS")
        device.board.tell_kernel("up wlan0 2")
        device.board.until(lambda: device.status.last_run is not None, every_s=GENTLY_S)
        marks = []
        for number in range(lab.syncs):
            edit(device.board, number % 12 + 1, f"sync {number}")
            device.sync()
            marks.append(device.mb("VmRSS"))
        time.sleep(REST_S)
        row["after_syncs_mb"] = device.mb("VmRSS")
        row["peak_of_small_mb"] = device.mb("VmHWM")
        half = marks[len(marks) // 2 :]
        row["slope_kb_per_sync"] = linear_regression(range(len(half)), half).slope * 1000
    return row | large_sync(lab)


def large_sync(lab: Lab) -> Row:
    """One that sends 20 000 edits and fetches them again, of 100 000 rows."""
    with lab.device(is_large=True) as device:
        with sqlite3.connect(device.board.map / "airports.gpkg") as other:
            other.execute("UPDATE Airports SET tz = 'there ' || fid WHERE fid % 5 = 0")
        other.close()
        device.start()
        device.board.tell_kernel("up wlan0 2")
        device.board.until(
            lambda: (now := device.status).maps[0].edits == 0 and now.job is None,
            within_s=300,
            every_s=GENTLY_S,
        )
        time.sleep(REST_S)
        return {"peak_mb": device.mb("VmHWM"), "after_peak_mb": device.mb("VmRSS")}


def writes(lab: Lab) -> Row:
    """Calls that write or flush, in a while in which nothing happens; with a link, after a sync."""
    with lab.device() as device:
        device.start()
        device.board.tell_kernel("up wlan0 2")
        device.board.until(lambda: device.status.last_run is not None)
        time.sleep(75)  # what the sync changed of the state is written within a minute
        trace = device.board.folder / "trace"
        watcher = subprocess.Popen(
            ["strace", "-fq", "-e", f"trace={WRITING}", "-o", trace, "-p", str(device.board.pid)],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(lab.idle_s)
        watcher.terminate()
        watcher.wait(10)
        calls = [line for line in trace.read_text().splitlines() if "(" in line]
        return {"writes_per_minute": len(calls) * 60 / lab.idle_s}


def rest(lab: Lab) -> Row:
    """How often the kernel had to give it the processor, and for how long, in rest."""
    with lab.device() as device:
        device.start()
        device.board.tell_kernel("up wlan0 2")
        device.board.until(lambda: device.status.last_run is not None)
        time.sleep(15)
        before = _switches(device), _cpu_ticks(device)
        time.sleep(lab.idle_s)
        after = _switches(device), _cpu_ticks(device)
    ticks = os.sysconf("SC_CLK_TCK")
    return {
        "wakes_per_minute": (after[0] - before[0]) * 60 / lab.idle_s,
        "cpu_ms_per_minute": (after[1] - before[1]) / ticks * 60_000 / lab.idle_s,
    }


def _switches(device: Device) -> int:
    total = 0
    for task in Path(f"/proc/{device.board.pid}/task").iterdir():
        text = (task / "status").read_text()
        total += int(text.split("voluntary_ctxt_switches:")[1].split()[0])
    return total


def _cpu_ticks(device: Device) -> int:
    fields = Path(f"/proc/{device.board.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def press(lab: Lab) -> Row:
    """The worst of some presses: until the lamp flashes, and until a byte reaches the service."""
    lamp_s, byte_s = [], []
    with lab.device() as device:
        board = device.board
        device.start()
        board.tell_kernel("up wlan0 2")
        board.until(lambda: device.status.last_run is not None)
        for _ in range(PRESSES):
            time.sleep(1.5)
            last, count = device.status.last_run, len(device.tapped)
            began = time.monotonic()
            board.button.press()
            board.until(lambda: (found := board.lamp("sync")) and found.name == "acknowledged")
            lamp_s.append(time.monotonic() - began)
            released = time.monotonic()
            board.button.release()
            board.until(lambda count=count: len(device.tapped) > count)  # type: ignore[misc]
            byte_s.append(device.tapped[count] - released)
            board.until(lambda last=last: device.status.last_run != last)  # type: ignore[misc]
    return {
        "press_to_lamp_ms": max(lamp_s) * 1000,
        "press_to_first_byte_ms": max(byte_s) * 1000,
    }


def stop(lab: Lab) -> Row:
    """From SIGTERM to the end, in a sync."""
    with lab.device(is_large=True) as device:
        device.start()
        device.board.tell_kernel("up wlan0 2")
        device.board.until(lambda: device.status.job is not None)
        return {"stop_s": device.board.stop()}


MEASURES: dict[str, Callable[[Lab], Row]] = {
    "memory": memory,
    "writes": writes,
    "rest": rest,
    "press": press,
    "stop": stop,
}


@contextmanager
def tap(url: str) -> Iterator[tuple[str, list[float]]]:
    """A way to the service that notes when the first byte of each connection came."""
    target = urllib.parse.urlsplit(url)
    noted: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    near, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=relay, args=(near,), daemon=True).start()

        def relay(near: socket.socket) -> None:
            assert target.hostname is not None
            far = socket.create_connection((target.hostname, target.port))
            threading.Thread(target=pump, args=(far, near, None), daemon=True).start()
            pump(near, far, noted)

        threading.Thread(target=serve, daemon=True).start()
        yield url.replace(f":{target.port}", f":{port}"), noted
        server.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, sink: socket.socket, noted: list[float] | None) -> None:
    """Carry bytes one way until the end."""
    try:
        while data := source.recv(65536):
            if noted is not None:
                noted.append(time.monotonic())
                noted = None
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
