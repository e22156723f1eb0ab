"""Who may change things, as the kernel says who asks."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from device.api.access import Access, peer
from device.api.appliance import Caller
from device.api.limits import Limits
from device.api.routes import ROUTES
from device.api.server import ApiServer
from tests.device.api.conftest import parsed, request
from tests.fakes.appliance import FakeAppliance
from tests.fakes.clock import VirtualClock
from tests.fakes.daemon import DaemonThread

DAEMON, GROUP, OTHER = 990, 991, 65534


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (Caller(uid=0, gid=0, pid=1), True),
        (Caller(uid=DAEMON, gid=5, pid=1), True),
        (Caller(uid=OTHER, gid=GROUP, pid=1), True),
        (Caller(uid=OTHER, gid=5, pid=1, groups=(6, GROUP)), True),
        (Caller(uid=OTHER, gid=5, pid=1, groups=(6,)), False),
        (Caller(uid=OTHER, gid=0, pid=1, groups=(0,)), False),
        (Caller(uid=GROUP, gid=DAEMON, pid=1), False),
    ],
)
def test_root_the_daemons_user_and_one_group_may_change_things(caller: Caller, may: bool) -> None:
    assert Access(user=DAEMON, group=GROUP).may_change(caller) is may


def test_without_a_group_none_may() -> None:
    assert not Access(user=DAEMON).may_change(Caller(uid=OTHER, gid=5, pid=1, groups=(6,)))


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        found = peer(ours)

    assert found is not None
    assert (found.uid, found.gid, found.pid) == (os.geteuid(), os.getegid(), os.getpid())
    assert set(found.groups) == set(os.getgroups())


def test_nobody_knows_who_is_at_the_other_end_of_a_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as ours:
            assert peer(ours) is None


CHANGING = [(r.method, r.path.format(map="m", job="j")) for r in ROUTES if r.changes]
READING = [
    (r.method, r.path.format(map="m", job="j"))
    for r in ROUTES
    if not r.changes and "events" not in r.path
]

AS_SOMEBODY = """
import json, os, socket, sys
path, groups, asked = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
os.setgroups(groups); os.setgid(65534); os.setuid(65534)
for head in asked:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(head.encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
        print(answer.split(b" ")[1].decode())
"""


def answers_to_somebody(path: Path, groups: list[int], asked: list[tuple[str, str]]) -> list[int]:
    """The statuses that another user of these groups gets."""
    heads = [request(method, target).decode() for method, target in asked]
    path.chmod(0o666)
    path.parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY, str(path), json.dumps(groups), json.dumps(heads)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.parametrize(("groups", "may"), [([], False), ([5, 6], False), ([5, GROUP], True)])
def test_others_may_read_and_only_the_group_may_change(
    socket_path: Path, groups: list[int], may: bool
) -> None:
    with DaemonThread(socket_path, access=Access(user=DAEMON, group=GROUP)) as daemon:
        read = answers_to_somebody(socket_path, groups, READING)
        changed = answers_to_somebody(socket_path, groups, CHANGING)

    assert set(read) <= {200, 404}
    assert not may or not {403} & set(changed)
    assert may or set(changed) == {403}
    assert may == bool(daemon.appliance.asked)
    assert all(caller.uid == 65534 for _, caller in daemon.appliance.asked)


async def test_over_a_network_nobody_may_change_things(
    appliance: FakeAppliance, clock: VirtualClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        async with ApiServer(appliance, listening, clock=clock, limits=Limits(stop_s=0.2)):
            for method, target, status in (
                ("GET", "/v1/status", 200),
                ("POST", "/v1/resume", 403),
            ):
                reader, writer = await asyncio.open_connection(*listening.getsockname())
                writer.write(request(method, target))
                assert parsed(await reader.read()).status == status
                writer.close()
