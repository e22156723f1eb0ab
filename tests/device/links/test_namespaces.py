"""Real links: veth pairs in a network namespace of their own, which the monitor watches."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def namespaces_are_refused() -> bool:
    script = "mount -t sysfs sysfs /sys && ip link add a0 type veth peer name b0"
    tried = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", script],
        capture_output=True,
        timeout=20,
        check=False,
    )
    return tried.returncode != 0


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    if namespaces_are_refused():
        pytest.skip("this host lets nobody make network namespaces")


def play(*changes: str) -> tuple[int, list[object]]:
    """How often the kernel told of lost events; and the links after each change."""
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.device.links.namespace_story", *changes],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lost, *told = json.loads(done.stdout)
    return lost, told


def test_every_change_of_a_real_link_is_told() -> None:
    wifi, cable = ["wlan0", "wifi", True], ["eth0", "wired", True]

    _, story = play(
        "wifi comes", "cable comes", "cable is dead", "cable is back", "route goes", "wifi goes"
    )

    assert story == [
        ["start", []],
        ["wifi comes", [wifi]],
        ["cable comes", [cable, ["wlan0", "wifi", False]]],
        ["cable is dead", [wifi]],
        ["cable is back", [cable, ["wlan0", "wifi", False]]],
        ["route goes", [wifi]],
        ["wifi goes", []],
    ]


def test_a_change_is_told_although_the_kernel_lost_its_event() -> None:
    lost, story = play("cable comes", "flood")

    assert lost
    assert story == [["start", []], ["cable comes", [["eth0", "wired", True]]], ["flood", []]]


def daemon_story(folder: Path, *how: str) -> dict[str, Any]:
    """What was seen of a daemon in a namespace of its own."""
    done = subprocess.run(
        [
            "unshare",
            "-n",
            "-m",
            sys.executable,
            "-m",
            f"{__package__}.two_namespaces",
            folder,
            *how,
        ],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.slow
def test_a_daemon_syncs_over_a_real_link_and_counts_its_bytes(tmp_path: Path) -> None:
    """The link leads to the service and nowhere else: there is no default route."""
    seen = daemon_story(tmp_path)

    assert seen["links"] == [["wwan0", "cellular", "service"]]
    assert seen["note"] == "over the cable"
    assert 5_000 < seen["used_bytes"] <= seen["passed_bytes"]
    assert seen["used_bytes"] > 0.8 * seen["passed_bytes"]


@pytest.mark.slow
def test_around_a_cable_that_leads_nowhere_a_daemon_syncs_over_the_modem(tmp_path: Path) -> None:
    seen = daemon_story(tmp_path, "dead-end")

    assert seen["links"] == [["eth0", "wired", "nothing"], ["wwan0", "cellular", "service"]]
    assert seen["note"] == "over the cable"
    assert seen["used_bytes"] > 5_000
