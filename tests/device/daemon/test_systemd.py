"""The units: what systemd thinks of them, and that they say the same as code, defaults and page."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from device import bytecode, daemon
from device.config import CREDENTIAL_NAME, HANDED_FROM, DeviceConfig, LampsConfig, SocketConfig
from device.config_reader import ConfigError
from device.modem import dialler, pppd
from device.modem.report import REQUEST_NAME
from engine.errors import CredentialsError
from scripts.device_lab.measure import AS_INSTALLED
from tests.fakes.leds import FakeLeds
from tests.sources import ROOT

pytestmark = pytest.mark.checkout

UNITS = ROOT / "device/systemd"
HELPER = UNITS / "lamps-for-fieldsync"
WORST_EXPOSURE = 2.5


def values(unit: str, key: str) -> list[str]:
    """What the unit sets ``key`` to, in order."""
    text = (UNITS / unit).read_text(encoding="utf-8")
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def analyzed(*arguments: object) -> subprocess.CompletedProcess[str]:
    assert shutil.which("systemd-analyze"), "scripts/setup installs it"
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"},
    )


def test_the_service_is_hardly_exposed() -> None:
    done = analyzed("security", "--offline=true", UNITS / "fieldsync.service")

    found = re.search(r"Overall exposure level .*?: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= WORST_EXPOSURE


def test_the_daemon_is_measured_as_it_is_installed() -> None:
    (start,) = values("fieldsync.service", "ExecStart")

    assert start.startswith(f"/usr/bin/python3 {' '.join(AS_INSTALLED)} -m device.daemon ")
    assert "PYTHONPYCACHEPREFIX=%C/fieldsync" in values("fieldsync.service", "Environment")
    cache = Path("/var/cache")  # systemd.unit(5), Specifiers: %C
    assert cache / "fieldsync" == bytecode.PREFIX


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for unit in [*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*.path")]:
        text = unit.read_text(encoding="utf-8")
        text = text.replace("/usr/lib/fieldsync/lamps-for-fieldsync", "/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")

    done = analyzed(
        "verify", "--man=no", tmp_path / "fieldsync.service", tmp_path / "fieldsync-ppp.path"
    )

    complaints = [line for line in done.stderr.splitlines() if "fieldsync" in line]
    assert not complaints


def test_the_units_agree_with_the_defaults_of_the_configuration() -> None:
    lamps, socket = LampsConfig(), SocketConfig()
    leds = f"{lamps.link} {lamps.sync} {lamps.attention}"

    assert values("fieldsync.service", "ExecStartPre")[0].endswith(leds)
    assert values("fieldsync.service", "ExecStopPost")[0].endswith(f"device.lamps.dead {leds}")
    assert values("fieldsync.socket", "ListenStream") == [str(socket.path)]
    assert values("fieldsync.socket", "SocketGroup") == [socket.group]
    request = socket.path.with_name(REQUEST_NAME)
    assert values("fieldsync.service", "ExecStopPost")[1].endswith(f"rm -f {request}")
    assert values("fieldsync.service", "StateDirectory") == [DeviceConfig().state.name]
    (credential,) = values("fieldsync.service", "LoadCredential")
    assert credential == f"{CREDENTIAL_NAME}:{HANDED_FROM}"


def test_the_wish_for_a_link_starts_the_dialler() -> None:
    request = SocketConfig().path.with_name(REQUEST_NAME)

    assert values("fieldsync-ppp.path", "PathExists") == [str(request)]
    assert values("fieldsync-ppp.path", "Unit") == ["fieldsync-ppp.service"]
    (command,) = values("fieldsync-ppp.service", "ExecStart")
    (stop_s,) = values("fieldsync-ppp.service", "TimeoutStopSec")
    assert f"-m {dialler.__name__} --config " in command
    assert float(stop_s) > pppd.STOP_S


def test_a_path_unit_can_start_the_dialler_as_often_as_it_likes() -> None:
    """A condition that fails, and a limit of starts, end the path unit for good (systemd.path(5),
    ``TriggerLimitIntervalSec=``; systemd.unit(5), ``StartLimitIntervalSec=``)."""
    text = (UNITS / "fieldsync-ppp.service").read_text(encoding="utf-8")

    assert not re.findall(r"^(?:Condition|Assert)\w+=", text, re.MULTILINE)
    assert values("fieldsync-ppp.service", "StartLimitIntervalSec") == ["0"]
    assert values("fieldsync-ppp.service", "Restart") == ["no"]  # the path unit does it


@pytest.mark.parametrize(
    ("result", "is_wanted", "is_paused"),
    [
        ("exit-code", True, True),  # it crashed, or cannot be started at all
        ("signal", True, True),
        ("success", True, False),  # the daemon was started anew, and its wish is another
        ("exit-code", False, False),  # a person must do something, and may have done it
    ],
)
def test_a_dialler_that_fails_is_started_again_after_a_pause(
    tmp_path: Path, result: str, is_wanted: bool, is_paused: bool
) -> None:
    """The path unit starts it again as soon as it has ended, and that is after ExecStopPost=."""
    request = SocketConfig().path.with_name(REQUEST_NAME)
    (command,) = values("fieldsync-ppp.service", "ExecStopPost")
    (stop_s,) = values("fieldsync-ppp.service", "TimeoutStopSec")
    assert str(request) in command
    wish, sleep = tmp_path / REQUEST_NAME, tmp_path / "sleep"
    if is_wanted:
        wish.touch()
    sleep.write_text(f'#!/bin/sh\necho "$1" >{tmp_path}/paused\n', encoding="utf-8")
    sleep.chmod(0o755)

    subprocess.run(
        shlex.split(command.removeprefix("-").replace(str(request), str(wish))),
        env={"SERVICE_RESULT": result, "PATH": f"{tmp_path}:/usr/bin:/bin"},
        timeout=20,
        check=True,
    )

    paused = tmp_path / "paused"
    assert paused.exists() == is_paused
    if is_paused:
        assert 10 <= float(paused.read_text()) < float(stop_s)


def test_the_folder_of_the_socket_stays_when_the_daemon_ends() -> None:
    assert values("fieldsync.service", "RuntimeDirectoryPreserve") == ["yes"]


def test_the_units_agree_with_the_daemon() -> None:
    (command,) = values("fieldsync.service", "ExecStart")
    (stop_s,) = values("fieldsync.service", "TimeoutStopSec")
    (not_restarted,) = values("fieldsync.service", "RestartPreventExitStatus")

    assert "-m device.daemon --config " in command
    assert daemon.STOP_LIMIT_S < float(stop_s) <= 20
    assert {int(code) for code in not_restarted.split()} == {
        int(ConfigError.exit_code),
        int(CredentialsError.exit_code),
    }


def test_the_page_of_the_device_names_every_file() -> None:
    page = (ROOT / "docs/device.md").read_text(encoding="utf-8")

    assert not [one.name for one in UNITS.iterdir() if f"device/systemd/{one.name}" not in page]


def test_the_helper_gives_the_files_of_the_lamps_to_the_group(tmp_path: Path) -> None:
    leds = FakeLeds(tmp_path)
    leds.add("fieldsync:link", trigger="pattern")
    for file in ("pattern", "trigger"):
        (tmp_path / "fieldsync:link" / file).chmod(0o644)

    done = subprocess.run(
        [HELPER, "fieldsync:absent", "fieldsync:link"],
        env={**os.environ, "LEDS": str(tmp_path), "GROUP": str(os.getgid())},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    assert "no LED fieldsync:absent" in done.stderr
    for file in ("pattern", "trigger"):
        assert (tmp_path / "fieldsync:link" / file).stat().st_mode & 0o060 == 0o060
    assert "[pattern]" in (tmp_path / "fieldsync:link/trigger").read_text()


GUARDED = """
import ctypes, os, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
os.execv(sys.executable, [sys.executable, "-OO", "-c", sys.argv[1]])
"""
NEEDS = """
from pathlib import Path
import device.daemon
from device.inotify import FolderWatch
from device.memory import trim
with FolderWatch() as watch:
    watch.add(Path("/"))
trim()
print("good")
"""


def test_the_daemon_needs_no_memory_that_is_writable_and_executable() -> None:
    """As MemoryDenyWriteExecute= has it; -OO leaves nothing out that it needs."""
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, NEEDS],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this kernel cannot refuse memory that is writable and executable")

    assert done.stdout == "good\n", done.stderr
