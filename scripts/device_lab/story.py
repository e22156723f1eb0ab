"""The demo of the device: tells what happens, shows the lamps, and checks that it is so."""

import argparse
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from device.api.status import State, Status
from device.model import Reach
from scripts.demo_story.service import Service
from scripts.demo_story.telling import Checks, run
from scripts.device_lab.board import Board
from tests.device.conftest import write_world

DESCRIPTION = """\
The daemon of a field device runs on this machine, with three lamps, a button and a network that are
files and pipes. A link appears, somebody edits, somebody presses the button, the power goes."""

TREES = 0
QUICK_S = 0.1
"""Within this time a press of the button is seen."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo-device", description=DESCRIPTION)
    parser.add_argument("--keep", action="store_true", help="keep the device's folder")
    return run("demo-device", tell, is_kept=parser.parse_args().keep)


def tell(place: Path, checks: Checks) -> None:
    """The story, from a device without a link to one that had its power cut."""
    write_world(place / "data")
    with Service(place / "data", "park", place / "service.log") as service:
        take(service.url, place / "map")
        with Board(place / "board", place / "map") as board:
            scene("The device is switched on. There is no link.")
            board.start()
            board.until(lambda: board.status.state is not State.STARTING)
            show(board)
            checks.that("it waits, and says for what", is_true=waits_for_a_link(board.status))

            scene("Somebody moves a tree in another program.")
            edit(board, 1, "moved in the field")
            board.until(lambda: rhythm(board, "sync") == "breath")
            show(board)
            edits = board.status.maps[0].edits
            checks.that("the edit was noticed by itself", is_true=edits == 1, evidence=edits)

            scene("A wireless network comes into reach.")
            board.tell_kernel("up wlan0 2")
            took_s = board.until(lambda: rhythm(board, "sync") == "solid")
            show(board)
            status = board.status
            checks.that(
                f"it synced by itself, {took_s:.1f} s later",
                is_true=status.last_run is not None and status.last_run.is_success,
                evidence=status.last_run,
            )
            checks.that(
                "the service was reached, and has the edit",
                is_true=status.links[0].reach is Reach.SERVICE
                and note(service, 1) == "moved in the field",
            )

            scene("Somebody edits again, and presses the button at once.")
            edit(board, 2, "pressed")
            runs = board.status.last_run
            board.button.press()
            seen_s = board.until(lambda: rhythm(board, "sync") == "acknowledged")
            board.button.release()
            show(board)
            checks.that(
                f"the lamp answered after {seen_s * 1000:.0f} ms", is_true=seen_s <= QUICK_S
            )
            board.until(lambda: board.status.last_run != runs and board.status.job is None)
            checks.that("the service has it", is_true=note(service, 2) == "pressed")

            scene("The network is gone; somebody edits; the power is cut, and comes back.")
            board.tell_kernel("down")
            board.until(lambda: not board.status.links)
            edit(board, 3, "before the cut")
            board.until(lambda: board.status.maps[0].edits == 1)
            board.kill()
            board.start()
            board.until(lambda: board.status.state is not State.STARTING)
            show(board)
            checks.that(
                "it knows of the edit, and that its stop was unclean",
                is_true=board.status.maps[0].edits == 1 and "stop.unclean" in board.words(),
            )
            board.tell_kernel("up wlan0 2")
            board.until(lambda: board.status.maps[0].edits == 0)
            show(board)
            checks.that("nothing was lost", is_true=note(service, 3) == "before the cut")

            scene("The device is switched off in good order.")
            took_s = board.stop()
            checks.that(f"it ended within {took_s:.1f} s", is_true=took_s < 20)


def take(url: str, folder: Path) -> None:
    """A map of the service, as a person takes it."""
    subprocess.run(
        [sys.executable, "-m", "device", "take", url, str(folder), "--quiet"], check=True
    )


def scene(text: str) -> None:
    print(f"\n{text}", flush=True)


def show(board: Board) -> None:
    """The lamps, and what the socket says."""
    lamps = "   ".join(f"{name.upper()} {rhythm(board, name)}" for name in NAMES)
    print(f"   {lamps}\n   “{board.status.detail}”", flush=True)


NAMES = ("link", "sync", "attention")


def rhythm(board: Board, lamp: str) -> str:
    played = board.lamp(lamp)
    return "?" if played is None else played.name


def waits_for_a_link(status: Status) -> bool:
    return status.state is State.WAITING and "no network link" in status.detail


def edit(board: Board, row: int, text: str) -> None:
    with closing(sqlite3.connect(board.map / "park.gpkg", timeout=10)) as other, other:
        other.execute("UPDATE Trees SET note = ? WHERE fid = ?", (text, row))


def note(service: Service, row: int) -> str:
    (found,) = service.rows(TREES, f"OBJECTID={row}")
    return str(found["attributes"]["note"])


if __name__ == "__main__":
    sys.exit(main())
