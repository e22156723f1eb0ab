"""Real links: veth pairs in a network namespace of their own, which the monitor watches."""

import json
import subprocess
import sys

import pytest


def namespaces_are_refused() -> bool:
    tried = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0"],
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
