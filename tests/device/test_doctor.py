"""``fieldsync doctor``: everything that a sync needs, each with a verdict and what to do."""

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from device.api.status import (
    ClockStatus,
    Failure,
    LinkStatus,
    MapStatus,
    ModemStatus,
    RunStatus,
    ServiceHold,
)
from device.config import ConditionsConfig, Config, ModemConfig, ModemMode
from device.doctor import board
from device.doctor.check import Check
from device.doctor.service import service
from device.model import ClockError, ClockTrust, LinkClass, Reach, WaitReason
from engine import SystemClock
from tests.device.conftest import Command, Taken
from tests.device.test_verbs import execute
from tests.fakes.appliance import FakeAppliance
from tests.fakes.clock import START, VirtualClock
from tests.fakes.daemon import DaemonThread
from tests.fakes.http_server import CERTIFICATES, tls_context

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def verdicts(checks: Iterator[Check] | list[Check]) -> list[tuple[str, bool | None]]:
    return [(check.name, check.is_ok) for check in checks]


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, taken: Taken) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[device]\nstate = "{tmp_path}"\n[conditions]\nmin_free_mb = 0\nmin_free_percent = 0\n'
        f'[[map]]\nname = "park"\nfolder = "{taken.folder}"\n'
    )
    path.chmod(0o600)
    return path


def test_the_page_says_of_everything_whether_it_is_well(
    fieldsync: Command, config: Path, taken: Taken, socket_path: Path
) -> None:
    with DaemonThread(socket_path, {"park": taken.folder}):
        ended = fieldsync("doctor", "--config", config, "--socket", socket_path, "--json")

    found = {check["name"]: check for check in ended.json["checks"]}
    assert {*found} >= {"clock", "disk", "config", "daemon", "links", "map park", "name", "service"}
    assert [name for name, check in found.items() if check["is_ok"] is False] == []
    assert found["service"]["detail"].endswith("/FeatureServer answers")
    assert ended.code == 0


def test_without_the_daemon_the_rest_is_looked_at_all_the_same(
    fieldsync: Command, config: Path, taken: Taken, tmp_path: Path
) -> None:
    execute(taken, "UPDATE Trees SET note='x'")

    ended = fieldsync("doctor", "--config", config, "--socket", tmp_path / "none")

    assert ended.code == 1
    assert "NOT OK  daemon       the daemon is not running" in ended.out
    assert "→ Start it (systemctl start fieldsync)" in ended.out
    assert "ok      map park     synced never" in ended.out
    assert "edits are to be sent" in ended.out
    assert "ok      service" in ended.out
    assert max(map(len, ended.out.splitlines())) < 200


def test_a_map_that_is_broken_is_told_with_its_remedy(
    fieldsync: Command, config: Path, taken: Taken, tmp_path: Path
) -> None:
    taken.geopackage.write_bytes(b"x" * 5000)

    ended = fieldsync("doctor", "--config", config, "--socket", tmp_path / "none", "--json")

    found = {check["name"]: check for check in ended.json["checks"]}
    assert found["map park"]["is_ok"] is False
    assert "repair" in found["map park"]["remedy"]


def test_a_configuration_that_is_wrong_or_missing_is_told(
    fieldsync: Command, tmp_path: Path
) -> None:
    wrong = tmp_path / "config.toml"
    wrong.write_text("[device]\nnmae = 1\n")
    wrong.chmod(0o600)

    for path in (wrong, tmp_path / "none.toml"):
        ended = fieldsync("doctor", "--config", path, "--socket", tmp_path / "none")

        assert ended.code == 1
        assert str(path) in ended.out


def test_what_the_daemon_suffers_from_is_told(
    fieldsync: Command, config: Path, socket_path: Path
) -> None:
    failure = Failure(code="link", message="no route to host", remedy="Wait for a link.")
    with DaemonThread(socket_path) as daemon:
        daemon.appliance.parts["links"] = False
        daemon.appliance.fields["last_run"] = RunStatus(
            job="j", ended_at=START, ended_ago_s=60, is_success=False, failure=failure
        )
        ended = fieldsync("doctor", "--config", config, "--socket", socket_path)

    assert ended.code == 1
    assert "NOT OK  links        it does not answer" in ended.out
    assert "NOT OK  last run     no route to host (60 s ago)" in ended.out
    assert "→ Wait for a link." in ended.out


def test_a_sync_that_somebody_cancelled_is_no_fault(
    fieldsync: Command, config: Path, socket_path: Path
) -> None:
    failure = Failure(code="cancelled", message="Somebody cancelled the sync.", remedy="")
    with DaemonThread(socket_path) as daemon:
        daemon.appliance.fields["last_run"] = RunStatus(
            job="j", ended_at=START, ended_ago_s=60, is_success=False, failure=failure
        )
        ended = fieldsync("doctor", "--config", config, "--socket", socket_path)

    assert ended.code == 0, ended.out
    assert "Somebody cancelled the sync" in ended.out


def test_a_part_of_the_daemon_that_goes_on_with_less_is_told(
    fieldsync: Command, config: Path, socket_path: Path
) -> None:
    with DaemonThread(socket_path) as daemon:
        daemon.appliance.details["links"] = "the kernel tells nothing"
        ended = fieldsync("doctor", "--config", config, "--socket", socket_path)

    assert ended.code == 1
    assert "NOT OK  links        the kernel tells nothing" in ended.out


def signing_in(fieldsync: Command, config: Path, path: Path) -> list[tuple[object, str]]:
    text = config.read_text().replace("[device]", f'[device]\ncredentials = "{path}"')
    config.write_text(text)
    ended = fieldsync("doctor", "--config", config, "--socket", path.parent / "none", "--json")
    checks = ended.json["checks"]
    return [(one["is_ok"], one["detail"]) for one in checks if one["name"] == "sign-in"]


def test_credentials_that_cannot_be_used_are_told(
    fieldsync: Command, config: Path, tmp_path: Path
) -> None:
    ((is_ok, detail),) = signing_in(fieldsync, config, tmp_path / "none.toml")

    assert is_ok is False
    assert "none.toml" in detail


def test_credentials_are_counted_and_not_shown(
    fieldsync: Command, config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "credentials.toml"
    path.write_text('[[credentials]]\nurl = "https://h/arcgis"\ntoken = "0p3n-s3same"\n')
    path.chmod(0o600)

    assert signing_in(fieldsync, config, path) == [(True, f"{path}: 1 credential")]


def test_a_service_that_is_left_alone_is_told(
    fieldsync: Command, config: Path, socket_path: Path
) -> None:
    refused = ServiceHold(
        service="https://one.example/Park/FeatureServer",
        reason=WaitReason.AUTHENTICATION,
        detail="The service refused the sign-in.",
    )
    busy = replace(refused, detail="The service asked for time.", next_try_in_s=600.0)
    with DaemonThread(socket_path) as daemon:
        daemon.appliance.fields["maps"] = (
            MapStatus(
                name="park",
                folder="/maps/park",
                edits=0,
                conflicts=0,
                quarantined=0,
                last_sync_at=None,
                holds=(refused, busy),
            ),
        )
        ended = fieldsync("doctor", "--config", config, "--socket", socket_path)

    assert ended.code == 1
    assert "NOT OK  map park     The service refused the sign-in." in ended.out
    assert "→ Correct the credentials" in ended.out
    assert "NOT OK  map park     The service asked for time." in ended.out
    assert "tried again in 10 min" in ended.out


# --- the device -----------------------------------------------------------------------------------


def test_a_clock_before_the_software_is_wrong(clock: VirtualClock, tmp_path: Path) -> None:
    clock.set_now(LONG_AGO)

    check = board.clock(clock, None, tmp_path, built=START)

    assert check.is_ok is False
    assert "2020-01-01" in check.detail
    assert "at least" in check.detail
    assert "years slow" in check.detail
    assert "timedatectl" in check.remedy


def test_a_clock_is_well_once_somebody_has_said_what_time_it_is(
    clock: VirtualClock, tmp_path: Path
) -> None:
    assert board.clock(clock, None, tmp_path, built=LONG_AGO).is_ok is None
    assert board.clock(clock, FakeAppliance(clock).status(), tmp_path, built=LONG_AGO).is_ok
    mark = tmp_path / board.SYNCHRONISED
    mark.parent.mkdir(parents=True)
    mark.touch()
    assert board.clock(clock, None, tmp_path, built=LONG_AGO).is_ok


def test_a_disk_that_is_full_or_locked_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path, tmp_path / "not" / "yet"]
    whole = Config(conditions=ConditionsConfig(min_free_mb=0, min_free_percent=0))
    assert verdicts(board.disks(folders, whole)) == [("disk", True)]
    found = os.statvfs(tmp_path)
    locked = os.statvfs_result([*found[:8], found.f_flag | os.ST_RDONLY, *found[9:]])
    monkeypatch.setattr(os, "statvfs", lambda _: locked)

    (check,) = board.disks(folders, whole)

    assert (check.is_ok, check.detail.endswith("read-only")) == (False, True)


@pytest.mark.parametrize(("gigabytes", "is_enough"), [(8, False), (1000, True)])
def test_a_disk_is_full_for_the_doctor_when_it_is_for_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: int, is_enough: bool
) -> None:
    blocks = gigabytes * 1_000_000
    free = blocks * 4 // 100
    found = os.statvfs_result((1000, 1000, blocks, free, free, 9, 9, 9, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    assert verdicts(board.disks([tmp_path], Config())) == [("disk", is_enough)]


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_power_is_told_as_far_as_the_board_tells_it(tmp_path: Path, clock: VirtualClock) -> None:
    assert list(board.power(Config(), clock, tmp_path)) == []
    write(
        tmp_path,
        sys__class__hwmon__hwmon0__in0_lcrit_alarm="1\n",
        sys__class__thermal__zone0__temp="85000\n",
        sys__class__power_supply__BAT0__capacity="5\n",
    )

    found = list(board.power(Config(), clock, tmp_path))

    assert verdicts(found) == [("voltage", False), ("temperature", False), ("battery", False)]


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
"""


def test_links_are_those_of_the_daemon_or_of_the_kernel(
    tmp_path: Path, clock: VirtualClock
) -> None:
    assert board.links(None, tmp_path).is_ok is False
    write(tmp_path, proc__net__route=ROUTES)
    assert board.links(None, tmp_path).detail == "wlan0"
    appliance = FakeAppliance(clock)
    assert board.links(appliance.status(), tmp_path).detail == "wlan0 (wifi)"
    portal = LinkStatus(
        interface="wlan0", link_class=LinkClass.WIFI, reach=Reach.PORTAL, up_for_s=1.0
    )
    appliance.fields["links"] = (portal,)
    assert "sign in" in board.links(appliance.status(), tmp_path).remedy
    appliance.fields["links"] = ()
    assert board.links(appliance.status(), tmp_path).is_ok is False


def test_a_modem_is_looked_at_where_there_is_to_be_one(tmp_path: Path, clock: VirtualClock) -> None:
    direct = Config(modem=ModemConfig(mode=ModemMode.DIRECT, port=tmp_path / "none"))
    appliance = FakeAppliance(clock)
    assert list(board.modem(Config(), None)) == []
    assert verdicts(board.modem(direct, None)) == [("modem", False)]
    appliance.fields["modem"] = ModemStatus(mode="direct", state="stopped", sim="SIM PIN")
    assert verdicts(board.modem(direct, appliance.status())) == [("modem", None), ("SIM", False)]
    appliance.fields["modem"] = ModemStatus(mode="direct", state="online", sim="READY")
    assert verdicts(board.modem(direct, appliance.status())) == [("modem", None), ("SIM", True)]


# --- the way to a service ---------------------------------------------------------------------


@contextmanager
def answering(
    text: bytes, context: ssl.SSLContext | None = None, *, times: int = 1
) -> Iterator[int]:
    """Answers so many connections with these bytes; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(times):
                connection, _ = listening.accept()
                try:
                    with (
                        context.wrap_socket(connection, server_side=True) if context else connection
                    ) as stream:
                        stream.recv(10_000)
                        stream.sendall(text)
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def http(body: object, status: int = 200) -> bytes:
    text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


CLOCK = SystemClock()
SERVICE = {"currentVersion": 11, "layers": [], "capabilities": "Query,Sync"}


@pytest.mark.parametrize(
    ("answer", "is_ok", "says"),
    [
        (http(SERVICE), True, "answers"),
        (http({"error": {"code": 499, "message": "Token Required"}}), True, "wants a sign-in"),
        (http("", 401), True, "wants a sign-in"),
        (http({"error": {"code": 400, "message": "Invalid URL"}}), False, "Invalid URL"),
        (http(SERVICE | {"capabilities": "Query"}), False, "has no Sync"),
        (http("<html>Welcome to our WLAN"), False, "not as a feature service"),
        (http({"a": 1}), False, "not as a feature service"),
        (http("", 302), False, "leads elsewhere"),
        (http("", 503), False, "HTTP 503"),
        (b"SSH-2.0-x\r\n", False, "hung up"),
        (b"", False, "hung up"),
    ],
)
def test_what_answers_in_place_of_the_service_is_told(
    answer: bytes, is_ok: bool, says: str
) -> None:
    with answering(answer) as port:
        url = f"http://127.0.0.1:{port}/a/FeatureServer?token=hunter2"
        *before, last = service(url, CLOCK, 5)

    assert verdicts(before) == [("name", True)]
    assert (last.name, last.is_ok) == ("service", is_ok)
    assert says in last.detail
    assert "hunter2" not in last.detail
    assert is_ok or last.remedy


def test_a_name_that_nobody_knows_and_a_closed_port_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    assert verdicts(service("https://" + "x" * 80 + ".invalid/FeatureServer", CLOCK)) == [
        ("name", False)
    ]
    closed = list(service(f"https://127.0.0.1:{port}/FeatureServer", CLOCK))
    assert verdicts(closed) == [("name", True), ("connection", False)]
    assert "refused" in closed[-1].detail


def test_a_server_that_speaks_no_tls_is_told() -> None:
    with answering(b"hello\r\n") as port:
        found = list(service(f"https://127.0.0.1:{port}/FeatureServer", CLOCK, 5))

    assert verdicts(found) == [("name", True), ("connection", False)]


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        ("certificate is not yet valid", "clock"),
        ("certificate has expired", "clock"),
        ("self-signed certificate in certificate chain", "update-ca-certificates"),
        ("unable to get local issuer certificate", "update-ca-certificates"),
        ("Hostname mismatch", "another network"),
    ],
)
def test_a_certificate_that_does_not_hold_is_told_with_its_likely_cause(
    why: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {why}")
    error.verify_message = why

    def refuse(_: HTTPSConnection) -> None:
        raise error

    monkeypatch.setattr(HTTPSConnection, "connect", refuse)

    _, check = service("https://127.0.0.1/a/FeatureServer", CLOCK)

    assert (check.name, check.is_ok) == ("certificate", False)
    assert why in check.detail
    assert remedy in check.remedy


def dated(moment: datetime) -> bytes:
    date = f"Date: {format_datetime(moment, usegmt=True)}\r\n".encode()
    return http(SERVICE).replace(b"\r\n", b"\r\n" + date, 1)


@pytest.mark.parametrize(
    ("certificate", "slow_s", "expected", "says"),
    [
        ("lasting.pem", 0, [True, True, True], ""),
        ("lasting.pem", 400.5 * 86_400, [True, True, False, True], "400 d slow"),
        ("lasting.pem", -3600, [True, True, False, True], "60 min fast"),
        ("expired.pem", 3.5 * 365 * 86_400, [True, False, False], "3 years slow"),
    ],
)
def test_a_clock_that_is_wrong_is_told_by_how_much(
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    slow_s: float,
    expected: list[bool],
    says: str,
) -> None:
    """Also by a host whose certificate is in order but for its date."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / certificate))
    moment = datetime.now(UTC) + timedelta(seconds=slow_s)
    times = 2 if certificate == "expired.pem" else 1
    with answering(dated(moment), tls_context(certificate), times=times) as port:
        found = list(service(f"https://127.0.0.1:{port}/FeatureServer", CLOCK, 5))

    assert [one.is_ok for one in found] == expected
    told = [one.detail for one in found if one.name == "clock"]
    assert [detail.partition(":")[0] for detail in told] == ([says] if says else [])


def test_an_unknown_host_is_no_witness_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate has expired, and nobody vouches for it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "lasting.pem"))
    with answering(dated(LONG_AGO), tls_context("expired.pem"), times=1) as port:
        found = list(service(f"https://127.0.0.1:{port}/FeatureServer", CLOCK, 5))

    assert [one.name for one in found] == ["name", "certificate"]


def test_the_clock_is_told_as_the_daemon_knows_it(clock: VirtualClock, tmp_path: Path) -> None:
    appliance = FakeAppliance(clock)
    error = ClockError(seconds=-7200.0, is_at_least=False, told_by=ClockTrust.SERVICE)
    appliance.fields["clock"] = ClockStatus(now=clock.now(), trust=ClockTrust.NONE, error=error)

    check = board.clock(clock, appliance.status(), tmp_path, built=LONG_AGO)

    assert check.is_ok is False
    assert "2 h slow" in check.detail
    assert "a feature service says" in check.detail
