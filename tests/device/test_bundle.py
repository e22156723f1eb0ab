"""``fieldsync bundle``: what helps to find a fault, and nothing that is nobody's business."""

import errno
import json
import os
import tarfile
from pathlib import Path

import pytest

from device.api.status import Failure, RunStatus
from device.redaction import HIDDEN, redacted_text
from tests.device.conftest import Command, Taken, gid
from tests.device.test_verbs import execute
from tests.fakes.clock import START
from tests.fakes.daemon import DaemonThread

SECRET = "0p3n-s3same"
ROW = "the owner is in hospital"
LOG = f"""\
2024-05-01T12:00:00 pi fieldsyncd[1]: signing in password={SECRET} user=field1
2024-05-01T12:00:00 pi fieldsyncd[1]: {{"token": "{SECRET}", "expires": 60}}
2024-05-01T12:00:00 pi fieldsyncd[1]: GET https://u:{SECRET}@gis.example.org/x?f=json&token={SECRET}
2024-05-01T12:00:00 pi fieldsyncd[1]: Authorization: Bearer {SECRET}
2024-05-01T12:00:00 pi fieldsyncd[1]: modem sim_pin='{SECRET}' and AT+CPIN? answered READY
"""


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``journalctl`` that tells this log."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "log").write_text(LOG)
    program = folder / "journalctl"
    # As journalctl(1): a unit, or a pattern of units; both of ours have something to say.
    program.write_text(
        f"#!/bin/sh\ncat '{folder}/log'\n"
        "for given; do case fieldsync-ppp.service in ${given#--unit=}) echo dialled;; esac; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.fixture
def config(tmp_path: Path, taken: Taken) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[[map]]\nname = "park"\nfolder = "{taken.folder}"\n')
    path.chmod(0o600)
    return path


def members(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        found = {}
        for entry in archive.getmembers():
            assert (entry.mode, entry.isfile()) == (0o600, True)
            stream = archive.extractfile(entry)
            assert stream is not None
            found[entry.name.removeprefix("fieldsync-bundle/")] = stream.read().decode()
        return found


@pytest.mark.usefixtures("journal")
def test_a_bundle_helps_and_gives_nothing_away(
    fieldsync: Command, taken: Taken, config: Path, socket_path: Path, tmp_path: Path
) -> None:
    execute(taken, f"UPDATE Trees SET note='{ROW}' WHERE GlobalID='{gid(1)}'")
    leaky = Failure(code="link", message=f"https://h/?token={SECRET} is gone", remedy="")
    secrets = {"modem": {"password": SECRET, "sim_pin": 1234}, "url": f"https://a:{SECRET}@h/"}
    with DaemonThread(socket_path, {"park": taken.folder}, config=secrets) as daemon:
        daemon.appliance.fields["last_run"] = RunStatus(
            job="j", ended_at=START, ended_ago_s=1.0, is_success=False, failure=leaky
        )
        asking = ("--config", config, "--socket", socket_path)
        ended = fieldsync("bundle", tmp_path / "b.tar.gz", *asking, "--json")

    found = members(tmp_path / "b.tar.gz")
    assert ended.code == 0
    assert ended.json["members"] == list(found)
    assert {*found} >= {
        *("versions.json", "config.json", "status.json", "jobs.json", "health.json"),
        *("metrics.txt", "doctor.json", "maps/park.json", "log.txt", "system/mounts"),
    }
    counts = json.loads(found["maps/park.json"])
    assert counts["geodatabases"][0]["tables"][0]["edits"]["updates"] == 1
    assert json.loads(found["status.json"])["state"] == "idle"
    assert "answered READY" in found["log.txt"]
    assert "user=field1" in found["log.txt"]
    assert "dialled" in found["log.txt"]
    everything = "\n".join(found.values())
    assert SECRET not in everything
    assert ROW not in everything
    assert "tree 1" not in everything


def test_a_bundle_is_made_when_everything_is_broken(
    fieldsync: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    asking = ("--config", tmp_path / "none.toml", "--socket", tmp_path / "none")

    ended = fieldsync("bundle", *asking)

    (path,) = tmp_path.glob("fieldsync-*.tar.gz")
    found = members(path)
    assert ended.code == 0
    assert path.name in ended.out
    assert "the daemon is not running" in found["status.json"]
    assert "none.toml" in found["config.json"]
    assert "journalctl" in found["log.txt"]
    assert fieldsync("bundle", path, *asking).code == 2


def test_a_bundle_that_cannot_be_finished_is_no_bundle(
    fieldsync: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tarfile.TarFile.addfile", full)

    ended = fieldsync("bundle", tmp_path / "b.tar.gz", "--config", tmp_path / "none.toml")

    assert ended.code == 1
    assert f"{tmp_path}/b.tar.gz: No space left" in ended.err
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a password={SECRET} b", f"a password={HIDDEN} b"),
        (f'"client_secret": "{SECRET} x", c', f'"client_secret": {HIDDEN}, c'),
        (f"Proxy-Authorization: Basic {SECRET}", f"Proxy-Authorization: Basic {HIDDEN}"),
        ("key=value tokens=3 apn=internet", "key=(hidden) tokens=(hidden) apn=internet"),
        ("a plain line: nothing to hide", "a plain line: nothing to hide"),
    ],
)
def test_lines_lose_their_secrets_and_nothing_else(text: str, shown: str) -> None:
    assert redacted_text(text) == shown
