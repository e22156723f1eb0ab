"""``fieldsync modem probe`` asks a modem on a real terminal, and names what is in its way."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.fakes.modem import SIM7600


def test_probe_tells_what_the_modem_says(tmp_path: Path) -> None:
    master, slave = os.openpty()
    done = threading.Event()
    answering = threading.Thread(target=_answer, args=(master, done), daemon=True)
    answering.start()
    try:
        command = [sys.executable, "-m", "device", "modem", "probe", "--json"]
        run = subprocess.run(
            [*command, "--port", os.ttyname(slave)], capture_output=True, text=True, check=False
        )
    finally:
        done.set()
        os.close(slave)
        os.close(master)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["operator"] == "Telekom.de"
    assert told["signal_dbm"] == -71


def _answer(master: int, done: threading.Event) -> None:
    line = b""
    while not done.is_set():
        try:
            line += os.read(master, 100)
        except OSError:
            return
        while b"\r" in line:
            command, _, line = line.partition(b"\r")
            for said in (*SIM7600.answers.get(command.decode().strip(), ()), "OK"):
                os.write(master, f"\r\n{said}\r\n".encode())


def test_probe_of_a_port_that_is_not_there_is_one_clear_line() -> None:
    command = [sys.executable, "-m", "device", "modem", "probe", "--port", "/dev/no-modem"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("fieldsync: /dev/no-modem cannot be opened")
    assert "Traceback" not in run.stderr
