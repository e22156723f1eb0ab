"""Stop signals: the work ends in good order, and the exit code says so."""

import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.device.conftest import Command, gid

WAIT_S = 30


class Link:
    """The way to a server: carries every connection until it is cut, then takes connections and
    carries nothing, as a radio link does that is up and useless."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        self.is_cut = False
        self.was_asked = threading.Event()
        self._open: list[socket.socket] = [self._listener]

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._open.append(client)
            if self.is_cut:
                threading.Thread(target=self._swallow, args=[client], daemon=True).start()
                continue
            server = socket.create_connection(self._server)
            self._open.append(server)
            for ends in ((client, server), (server, client)):
                threading.Thread(target=_carry, args=ends, daemon=True).start()

    def _swallow(self, client: socket.socket) -> None:
        try:
            while client.recv(65536):
                self.was_asked.set()
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in self._open:
            one.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def link_to(url: str) -> Iterator[Link]:
    link = Link(url)
    thread = threading.Thread(target=link.run)
    thread.start()
    try:
        yield link
    finally:
        link.close()
        thread.join(WAIT_S)


def stopped(link: Link, number: signal.Signals, *arguments: object) -> tuple[int, str, str]:
    """Start the command, send it the signal once it waits for the service, and see it end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "device", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert link.was_asked.wait(WAIT_S), "the command did not ask the service"
            process.send_signal(number)
            out, err = process.communicate(timeout=WAIT_S)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_take_and_leaves_nothing(
    services: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with link_to(services["park"]) as link:
        link.is_cut = True
        code, out, err = stopped(link, number, "take", link.url, tmp_path / "map")

    assert code == 130
    assert out == ""
    assert err == "fieldsync: stopped. The map was not taken, and nothing is left behind\n"
    assert not list(tmp_path.iterdir())


def test_a_signal_stops_a_sync_and_its_edits_stay(
    fieldsync: Command, services: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "map"
    with link_to(services["park"]) as link:
        assert fieldsync("take", link.url, folder).code == 0
        with closing(sqlite3.connect(folder / "park.gpkg")) as connection, connection:
            connection.execute(f"UPDATE Trees SET note='kept' WHERE GlobalID='{gid(9)}'")
        link.is_cut = True
        code, out, err = stopped(link, signal.SIGTERM, "sync", folder)

    assert code == 130
    assert out == ""
    assert err.startswith("fieldsync: stopped. Nothing is lost")
    assert err.count("\n") == 1
    (edit,) = fieldsync("edits", folder, "--json").json["edits"]
    assert edit["global_id"] == gid(9)
