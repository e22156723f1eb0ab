"""``fieldsync doctor``: looks at all that a sync needs; one page, to be photographed."""

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from device.api.client import ApiClient
from device.api.json_form import as_json
from device.api.status import Health, Status
from device.cli_run import run_async
from device.cli_socket import daemon
from device.config import HANDED_FROM, Config
from device.console import Console, Report
from device.doctor import board, units
from device.doctor.check import Check, ill, unknown, well
from device.doctor.service import service
from device.policy.clock_trust import built_at
from device.tables import duration, number, printable
from engine import ArcGISCredentialStore, Clock, EngineError, ExitCode, OfflineMap, SystemClock

DEFAULT_CONFIG = Path("/etc/fieldsync/config.toml")
WIDTH = 11


def run(options: Namespace, _console: Console) -> Report:
    """Look at everything, also without the daemon."""
    checks = list(examine(options, SystemClock(), Path("/")))
    bad = [one for one in checks if one.is_ok is False]
    verdict = f"{number(len(bad), 'thing')} to be done." if bad else "All is well."
    return Report(
        data={"checks": as_json(checks)},
        lines=[*(line for one in checks for line in _lines(one)), verdict],
        exit_code=ExitCode.ERROR if bad else ExitCode.OK,
    )


def examine(options: Namespace, clock: Clock, root: Path) -> Iterator[Check]:
    """The checks, in the order in which a person would look."""
    config, told = _config(options.config or DEFAULT_CONFIG)
    status, daemon_told = _daemon(daemon(options))
    yield board.clock(clock, status, root, built_at())
    yield from board.disks([config.device.state, *(m.folder for m in config.maps)], config)
    yield from board.power(config, clock, root)
    yield told
    yield from _credentials(config, root)
    yield from daemon_told
    yield from units.compiled(root)
    yield board.links(status, root)
    yield from board.modem(config, status)
    yield from units.dialler(config, root)
    urls: dict[str, None] = {}
    for one in config.maps:
        check, found = run_async(partial(_map, one.name, one.folder), when_stopped="")
        yield check
        urls |= dict.fromkeys(found)
    for url in urls:
        yield from service(url, clock)
    yield from _left_alone(status)
    yield from _last_error(status)


def _config(path: Path) -> tuple[Config, Check]:
    try:
        config = Config.read(path)
    except EngineError as error:
        if path.exists():
            return Config(), ill("config", error.message, error.remedy or "Correct it")
        remedy = "Write one (docs/device.md), or name the one there is with --config"
        return Config(), ill("config", f"there is no {path}", remedy)
    except OSError as error:
        check = unknown("config", f"{path}: {error.strerror}", "Name it with --config, or be root")
        return Config(), check
    return config, well("config", f"{path}: {number(len(config.maps), 'map')}")


def _credentials(config: Config, root: Path) -> Iterator[Check]:
    """What the daemon signs in with, if it has a file of it."""
    path = config.device.credentials
    if path is None:
        path = root / HANDED_FROM.relative_to("/")
        if not path.exists() and not (root / units.UNIT).exists():
            return  # it is not run by the unit, which wants the file
    if path.exists() and not os.access(path, os.R_OK):
        yield unknown("sign-in", f"{path}: this user may not read it", "Do it as root")
        return
    try:
        count = len(ArcGISCredentialStore.from_file(path).credentials)
    except EngineError as error:
        yield ill("sign-in", error.message, f"{error.remedy}. The daemon does not start without")
        return
    yield well("sign-in", f"{path}: {number(count, 'credential')}")


def _daemon(client: ApiClient) -> tuple[Status | None, list[Check]]:
    """What the daemon says, if it runs; and whether it and its parts do."""
    try:
        status = client.get(Status, "status")
        health = client.get(Health, "health")
    except EngineError as error:
        return None, [ill("daemon", error.message, error.remedy)]
    told = f"{status.state.value}: {status.detail}"
    checks = [
        well("daemon", f"version {status.version}, up for {duration(status.up_for_s)}; {told}")
    ]
    for part in health.parts:
        if not part.is_alive and not part.detail:
            remedy = "systemctl restart fieldsync; then send a bundle: fieldsync bundle"
            checks.append(ill(part.name, "it does not answer", remedy))
        elif part.detail:
            remedy = "The daemon tries again by itself; its log: journalctl -u fieldsync"
            checks.append(ill(part.name, part.detail, remedy))
    return status, checks


async def _map(name: str, folder: Path) -> tuple[Check, list[str]]:
    """How a map is, and its services. Nothing is changed."""
    label = f"map {name}"
    try:
        async with OfflineMap.open(folder) as map_:
            urls = [geodatabase.service_url for geodatabase in map_.geodatabases]
            errors = [*map_.errors.values()]
            errors += [t.error for g in map_.geodatabases for t in g.feature_tables if t.error]
            if errors:
                return ill(label, errors[0].message, errors[0].remedy), urls
            syncs = [g.replica.last_sync_at or "never" for g in map_.geodatabases]
            edits = [await g.has_local_edits() for g in map_.geodatabases]
    except EngineError as error:
        return ill(label, error.message, error.remedy), []
    except OSError as error:
        return unknown(label, f"{folder}: {error.strerror}", "Do it as root"), []
    waiting = "edits are to be sent" if any(edits) else "nothing to send"
    return well(label, f"synced {min(syncs)[:16]}, {waiting}"), urls


def _left_alone(status: Status | None) -> Iterator[Check]:
    """Services that are not synced now, while others are."""
    for one in () if status is None else status.maps:
        for hold in one.holds:
            remedy = "Correct the credentials, then: fieldsync sync --wait"
            if hold.next_try_in_s is not None:
                remedy = f"It is tried again in {duration(hold.next_try_in_s)}; ask who runs it"
            yield ill(f"map {one.name}", hold.detail, remedy)


def _last_error(status: Status | None) -> Iterator[Check]:
    last = None if status is None else status.last_run
    if last is None or last.failure is None:
        return
    told = f"{last.failure.message} ({duration(last.ended_ago_s)} ago)"
    if last.failure.code == "cancelled":  # a person, the link or a budget ended it: no fault
        yield unknown("last run", told, last.failure.remedy)
    else:
        yield ill("last run", told, last.failure.remedy)


def _lines(check: Check) -> Iterable[str]:
    yield f"{check.mark:6}  {check.name:{WIDTH}}  {printable(check.detail)}"
    if check.remedy and check.is_ok is not True:
        yield f"{'':6}  {'':{WIDTH}}  → {printable(check.remedy)}"
