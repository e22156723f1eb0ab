"""Process 1 of the emulated device, once it is up: does what the test asks over a virtio port.

A request is a line of JSON: a command for the shell, and how long it may take. The answer is one,
too. Requests run side by side.
"""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

PORTS = Path("/sys/class/virtio-ports")


def port_named(name: str) -> Path:
    """The device file of a virtio port; it may take a moment to appear."""
    while True:
        for found in PORTS.glob("*/name"):
            if found.read_text().strip() == name:
                return Path("/dev", found.parent.name)
        time.sleep(0.05)


def main() -> None:
    Path("/dev/acknowledged").symlink_to(port_named("acknowledged"))
    port = os.open(port_named("control"), os.O_RDWR)
    lock = threading.Lock()

    def answer(message: dict[str, object]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(port, data) :]

    def run(request: dict[str, object]) -> None:
        try:
            done = subprocess.run(
                ["sh", "-c", str(request["command"])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=float(str(request["timeout_s"])),
                check=False,
            )
            code, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as error:
            code, output = 124, error.stdout or b""
        text = output.decode(errors="replace")
        answer({"id": request["id"], "code": code, "output": text})

    answer({"id": 0, "uptime_s": float(Path("/proc/uptime").read_text().split()[0])})
    rest = b""
    while True:
        data = os.read(port, 65536)
        if not data:  # nobody is connected to the port yet
            time.sleep(0.02)
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            threading.Thread(target=run, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    main()
