"""What every test run shares: which skips are allowed, and the event loop of asynchronous tests."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.fakes.clock import VirtualClock, VirtualLoop

ALLOWED_SKIPS = {
    "only root may become another user": "who runs the tests is the host's affair",
    "this host lets nobody make network namespaces": "namespaces are a setting of the host",
    "this kernel lets only root bind a socket to an interface": "it is older than Linux 5.7",
    "this kernel lets nobody mount a small disk": "user namespaces are a setting of the host",
    "this kernel cannot refuse memory that": "Linux has that since 6.3",
}
"""Beginning of a skip's reason → why no set-up can cure it. Any other skip fails the run in CI."""

_SKIPS = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    # A shell that runs us in the background, or nohup, lets us and what we start ignore these.
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    config.stash[_SKIPS] = []
    config.pluginmanager.register(_SkipCounter(config.stash[_SKIPS]), "fieldsync-skips")


class _SkipCounter:
    """Collects the skips; with pytest-xdist it sees the workers' reports too."""

    def __init__(self, skips: list[tuple[str, str]]) -> None:
        self._skips = skips

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skips.append((report.nodeid, _reason(report.longrepr)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skips.append((report.nodeid, _reason(report.longrepr)))


def _reason(longrepr: object) -> str:
    text = longrepr[2] if isinstance(longrepr, tuple) else longrepr
    return str(text).removeprefix("Skipped: ")


def _refused(skips: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The skips that CI does not accept; none of them outside CI."""
    if os.environ.get("CI") != "true":
        return []
    return [skip for skip in skips if not skip[1].startswith(tuple(ALLOWED_SKIPS))]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and _refused(session.config.stash[_SKIPS]):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skips = config.stash[_SKIPS]
    refused = _refused(skips)
    if skips:
        terminalreporter.section("skips")
        terminalreporter.line(f"{len(skips)} skipped, {len(refused)} of them not allowed in CI")
    for nodeid, reason in refused:
        terminalreporter.line(f"NOT ALLOWED {nodeid}: {reason}")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test runs on a loop that a :class:`VirtualClock` can drive."""
    return {"virtual": VirtualLoop}


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """A clock that jumps to the next sleeper whenever every task waits."""
    virtual = VirtualClock(autojump=True)
    yield virtual
    virtual.close()
