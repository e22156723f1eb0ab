"""The verbs that ask the daemon: what they print, and how they end."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from device.api.status import (
    Cause,
    DeviceConditions,
    Failure,
    JobRecord,
    LayerResult,
    MapResult,
    MapStatus,
    ModemStatus,
    RunStatus,
)
from device.model import Gesture, WaitReason
from engine import EditCounts, JobStatus, SyncTotals
from tests.device.conftest import Command, Taken, gid
from tests.device.test_verbs import execute
from tests.fakes.appliance import FakeAppliance
from tests.fakes.daemon import DaemonThread


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, socket_path: Path) -> Iterator[DaemonThread]:
    monkeypatch.setenv("FIELDSYNC_SOCKET", str(socket_path))
    with DaemonThread(socket_path, {"park": Path("/nowhere/park")}) as running:
        yield running


# --- without a daemon ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["status", "watch", "queue", "pause", "resume", "sync"])
def test_without_a_daemon_each_verb_says_so(verb: str, fieldsync: Command, tmp_path: Path) -> None:
    ended = fieldsync(verb, "--socket", tmp_path / "none", "--json")

    assert ended.code == 3
    assert ended.json["error"]["code"] == "daemon-not-running"
    assert ended.err.count("\n") == 1


def test_a_map_that_is_neither_folder_nor_name_is_told(
    fieldsync: Command, daemon: DaemonThread, tmp_path: Path
) -> None:
    for verb in ("sync", "edits", "conflicts", "quarantine"):
        ended = fieldsync(verb, "nowhere")

        assert ended.code == 2
        assert "no folder nowhere, and the daemon has no map of that name" in ended.err
        assert "one of the daemon's maps: park" in ended.err
        assert fieldsync(verb, "nowhere", "--socket", tmp_path / "none").code == 2


# --- status -------------------------------------------------------------------------------------


def test_the_status_is_told_to_a_person(fieldsync: Command, daemon: DaemonThread) -> None:
    moment = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    failure = Failure(code="link", message="no route to host", remedy="Wait.")
    daemon.appliance.fields = {
        "maps": (
            MapStatus(
                name="wäld/木",
                folder="/m",
                edits=3,
                conflicts=1,
                quarantined=2,
                last_sync_at=moment,
                error=Failure(code="x", message="it is\x1b[31m broken", remedy="Repair it."),
            ),
            MapStatus(
                name="b", folder="/b", edits=None, conflicts=0, quarantined=0, last_sync_at=None
            ),
        ),
        "modem": ModemStatus(mode="direct", state="online", operator="Net", signal_dbm=-91),
        "conditions": DeviceConditions(
            disk_free_bytes=10**9, is_disk_read_only=True, is_undervoltage=True, battery_percent=9.6
        ),
        "last_run": RunStatus(
            job="job-1", ended_at=moment, ended_ago_s=300, is_success=False, failure=failure
        ),
    }

    ended = fieldsync("status")

    assert ended.code == 0
    for words in (
        "state     idle: Nothing to do.",
        "next run  in 60 s",
        "last run  failed 5 min ago: no route to host",
        "lamps     All is well.",
        "modem     online, Net, -91 dBm",
        "disk      1.0 GB free, read-only",
        "board     the voltage is too low, battery 10 %",
        "cellular today  0 B of 20 MB",
        "wlan0  wifi   the service  12 s    1.0 kB      5.0 kB",
        "2024-05-01 12:30",
        "Repair it.",
    ):
        assert words.split() == [w for w in words.split() if w in ended.out], (words, ended.out)
    assert "\x1b" not in ended.out


def test_status_tells_of_a_part_that_does_not_do_its_work(
    daemon: DaemonThread, fieldsync: Command
) -> None:
    daemon.appliance.parts["lamps"] = True
    daemon.appliance.details["lamps"] = "there is no LED fieldsync:link"
    daemon.appliance.parts["links"] = False

    lines = fieldsync("status").out.splitlines()

    assert "lamps: there is no LED fieldsync:link" in lines
    assert "links: it does not answer" in lines


def test_the_status_is_told_to_programs_as_the_socket_tells_it(
    fieldsync: Command, daemon: DaemonThread
) -> None:
    told = fieldsync("status", "--json").json["status"]

    assert told["state"] == "idle"
    assert told["maps"][0]["name"] == "park"
    assert fieldsync("status", "--quiet").out == ""


# --- pause and resume ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("90", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129600)]
)
def test_a_pause_has_an_end_if_one_is_given(
    fieldsync: Command, daemon: DaemonThread, text: str, seconds: float
) -> None:
    ended = fieldsync("pause", "--for", text, "--json")

    assert ended.json["status"]["next_run_in_s"] == seconds
    assert fieldsync("resume").out == "idle: Nothing to do.\n"


@pytest.mark.parametrize("text", ["", "x", "1w", "-5s", "1e9"])
def test_a_time_that_is_none_is_told(fieldsync: Command, text: str) -> None:
    assert fieldsync("pause", "--for", text).code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_who_may_not_change_things_is_told(fieldsync: Command, daemon: DaemonThread) -> None:
    daemon.path.chmod(0o666)
    daemon.path.parent.chmod(0o755)
    code = (  # another user may not read where Python is: what is needed is loaded before
        "import os, sys; from device.cli import main\n"
        "main(['resume', '--quiet', *sys.argv[2:]])\n"
        "try:\n    main(['status', '--quiet', '--socket', '/nowhere'])\nfinally:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "    print('---', file=sys.stderr)\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "pause", "--socket", str(daemon.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    complaint = done.stderr.partition("---\n")[2]
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "user 65534" in complaint
    assert complaint.count("\n") == 1


# --- sync ---------------------------------------------------------------------------------------


def result(name: str, exit_code: int = 0, error: Failure | None = None) -> MapResult:
    layer = LayerResult(
        geodatabase="park.gpkg",
        layer_id=0,
        table="Trees",
        sent=4,
        added=1,
        updated=2,
        deleted=0,
        photos_sent=0,
        photos_received=3,
        conflicts=1,
        refused=0,
        waiting=0,
    )
    return MapResult(
        map=name,
        exit_code=exit_code,
        edits=EditCounts(found=4, applied=4),
        layers=(layer,),
        totals=SyncTotals(sent_bytes=1500, received_bytes=2500, seconds=1.0),
        error=error,
    )


def until_somebody_listens(daemon: DaemonThread) -> None:
    end = monotonic() + 30
    while not daemon.do(lambda appliance: bool(appliance.hub._readers)):
        assert monotonic() < end


def when_asked(daemon: DaemonThread, act: Callable[[FakeAppliance, str], object]) -> None:
    """Let the appliance do that with the job as soon as it is followed."""

    def watch() -> None:
        until_somebody_listens(daemon)
        daemon.do(lambda appliance: act(appliance, appliance.jobs()[0].id))

    threading.Thread(target=watch, daemon=True).start()


def test_a_sync_is_asked_for_and_not_waited_for(fieldsync: Command, daemon: DaemonThread) -> None:
    ended = fieldsync("sync", "park", "--expensive", "--json")

    assert ended.code == 0
    assert ended.json["job"]["maps"] == ["park"]
    assert ended.json["job"]["is_expensive_allowed"] is True
    assert ended.json["job"]["status"] == "not_started"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"results": (result("park"),)}, JobStatus.SUCCEEDED, 0),
        ({"results": (result("park", 6), result("b", 7))}, JobStatus.SUCCEEDED, 7),
        ({"results": (result("park", 6),)}, JobStatus.SUCCEEDED, 6),
        (
            {"failure": Failure(code="link", message="gone", remedy="", exit_code=5)},
            JobStatus.FAILED,
            5,
        ),
        (
            {
                "results": (
                    result("park", 7),
                    result("b", 4, Failure(code="x", message="y", remedy="z", exit_code=4)),
                )
            },
            JobStatus.SUCCEEDED,
            4,
        ),
    ],
)
def test_a_sync_that_is_waited_for_ends_as_it_went(
    fieldsync: Command,
    daemon: DaemonThread,
    changes: dict[str, object],
    status: JobStatus,
    code: int,
) -> None:
    when_asked(daemon, lambda appliance, job: appliance.move(job, status, progress=100, **changes))

    ended = fieldsync("sync", "--wait", "--json")

    assert ended.code == code, ended.err
    assert ended.json["job"]["status"] == status.name.lower()


def test_a_sync_that_was_waited_for_is_told_to_a_person(
    fieldsync: Command, daemon: DaemonThread
) -> None:
    def finish(appliance: FakeAppliance, job: str) -> None:
        appliance.move(job, JobStatus.STARTED, progress=10)
        appliance.say(job, "sending")
        appliance.move(job, JobStatus.SUCCEEDED, results=(result("park"),))

    when_asked(daemon, finish)

    ended = fieldsync("sync", "--wait")

    assert ended.code == 0
    assert "job-1, park: succeeded" in ended.out
    assert "park  Trees     4      1        2" in ended.out
    assert "Sent 1.5 kB, received 2.5 kB." in ended.out
    assert ended.err == ""


@pytest.mark.parametrize(
    ("reason", "code"), [(WaitReason.NO_LINK, 5), (WaitReason.AUTHENTICATION, 4)]
)
def test_a_sync_that_must_wait_for_something_is_not_waited_for(
    fieldsync: Command, daemon: DaemonThread, reason: WaitReason, code: int
) -> None:
    def defer(appliance: FakeAppliance, job: str) -> None:
        appliance.move(job, JobStatus.NOT_STARTED, reason=reason, detail="There is no link.")

    when_asked(daemon, defer)

    ended = fieldsync("sync", "--wait", "--json")

    assert ended.code == code
    assert ended.json["error"]["code"] == "deferred"
    assert "There is no link" in ended.err


def test_a_sync_that_tries_again_by_itself_is_waited_for(
    fieldsync: Command, daemon: DaemonThread
) -> None:
    def later(appliance: FakeAppliance, job: str) -> None:
        appliance.move(
            job, JobStatus.NOT_STARTED, reason=WaitReason.LINK_SETTLING, next_try_in_s=5.0
        )
        appliance.move(job, JobStatus.SUCCEEDED)

    when_asked(daemon, later)

    assert fieldsync("sync", "--wait").code == 0


def test_a_daemon_that_stops_meanwhile_is_told(fieldsync: Command, daemon: DaemonThread) -> None:
    def stop() -> None:
        until_somebody_listens(daemon)
        daemon.stop()

    threading.Thread(target=stop, daemon=True).start()

    ended = fieldsync("sync", "--wait", "--json")

    assert ended.code == 75
    assert "goes on when the daemon runs again" in ended.err


@pytest.mark.parametrize(
    "option", [["--direction", "upload"], ["--keep-deltas"], ["--credentials", "x"]]
)
def test_options_for_folders_are_refused_for_the_daemons_maps(
    fieldsync: Command, daemon: DaemonThread, option: list[str]
) -> None:
    ended = fieldsync("sync", "park", *option)

    assert ended.code == 2
    assert option[0] in ended.err
    assert daemon.appliance.asked == []


def test_a_folder_is_synced_here_also_if_a_map_has_its_name(
    fieldsync: Command, taken: Taken, monkeypatch: pytest.MonkeyPatch, daemon: DaemonThread
) -> None:
    taken.folder.rename(taken.folder.with_name("park"))
    monkeypatch.chdir(taken.folder.parent)

    assert fieldsync("sync", "park", "--wait").code == 0
    assert fieldsync("sync", "park", "--expensive").code == 2
    assert daemon.appliance.asked == []


# --- lists --------------------------------------------------------------------------------------


def test_edits_conflicts_and_refused_rows_of_a_named_map_are_those_of_its_folder(
    fieldsync: Command, taken: Taken, daemon: DaemonThread
) -> None:
    daemon.appliance.folders["park"] = taken.folder
    execute(taken, f"UPDATE Trees SET note='x' WHERE GlobalID='{gid(1)}'")

    for verb in ("edits", "conflicts", "quarantine"):
        here, there = fieldsync(verb, taken.folder, "--json"), fieldsync(verb, "park", "--json")
        assert there.code == here.code == 0
        assert there.json | {"map": ""} == here.json | {"map": ""}
        assert fieldsync(verb, "park").out == fieldsync(verb, taken.folder).out
    refused = fieldsync("quarantine", "park", "--retry", "5", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "not-found")


def test_the_queue_has_the_edits_of_all_maps(
    fieldsync: Command, taken: Taken, daemon: DaemonThread
) -> None:
    daemon.appliance.folders = {"a": taken.folder, "b": taken.folder}
    execute(taken, f"UPDATE Trees SET note='x' WHERE GlobalID='{gid(1)}'")

    ended = fieldsync("queue")
    told = fieldsync("queue", "--json").json["maps"]

    assert ended.out.endswith("2 edits to send.\n")
    assert "a:\nlayer" in ended.out
    assert [(one["map"], len(one["edits"])) for one in told] == [("a", 1), ("b", 1)]


# --- watch --------------------------------------------------------------------------------------


def test_what_happens_is_printed_line_by_line_until_the_daemon_stops(
    fieldsync: Command, daemon: DaemonThread
) -> None:
    def tell() -> None:
        until_somebody_listens(daemon)
        daemon.do(_story)
        daemon.stop()

    for options, count in ((["--json"], 5), ([], 5)):
        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        ended = fieldsync("watch", *options)
        thread.join(30)
        assert ended.code == 0
        lines = ended.out.splitlines()
        assert len(lines) == count + (not options), ended.out
        if options:
            events = [json.loads(line)["event"] for line in lines]
            assert events == ["status", "button", "job", "message", "job"]
            daemon = _again(daemon)
        else:
            assert [line[10:] for line in lines[1:5]] == [
                "button: very long press",
                "job-1, park: started, 5 %",
                "park: Grüße�[31m",
                "job-1, park: failed: gone. Wait.",
            ]
    daemon.stop()


def _again(daemon: DaemonThread) -> DaemonThread:
    return DaemonThread(daemon.path, {"park": Path("/nowhere/park")}).__enter__()


def _story(appliance: FakeAppliance) -> None:
    job = JobRecord(
        id="job-1",
        cause=Cause.SCHEDULE,
        maps=("park",),
        status=JobStatus.STARTED,
        progress=5,
        created_at=datetime(2024, 5, 1, tzinfo=UTC),
    )
    appliance.hub.pressed(Gesture.VERY_LONG)
    appliance.hub.job_changed(job)
    appliance.say("job-1", "Grüße\x1b[31m")
    failure = Failure(code="link", message="gone", remedy="Wait.")
    appliance.hub.job_changed(replace(job, status=JobStatus.FAILED, failure=failure))


def test_a_reader_who_has_seen_enough_ends_the_watching(daemon: DaemonThread) -> None:
    """As in ``fieldsync watch | head -1``: no traceback, no complaint."""
    watching = subprocess.Popen(
        [sys.executable, "-m", "device", "watch", "--json", "--socket", str(daemon.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        first = json.loads(watching.stdout.readline())
        watching.stdout.close()
        daemon.do(lambda appliance: appliance.hub.pressed(Gesture.SHORT))
        daemon.do(lambda appliance: appliance.hub.pressed(Gesture.SHORT))
        try:
            code = watching.wait(30)
        finally:
            watching.kill()
        complaints = watching.stderr.read()

    assert first["event"] == "status"
    assert (code, complaints) == (0, "")
