"""The command around the verbs: how it ends, whatever a verb does."""

import json
import logging
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device import cli
from device.console import Report
from engine import EngineError, ExitCode, TransientError

Verb = Callable[[], Report]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """``run(verb, *options)``: the command with ``info`` done by the function ``verb``."""
    before = logging.root.handlers[:], logging.root.level

    def run(verb: Verb, *options: str) -> int:
        module = types.ModuleType("fake_verb")
        vars(module)["run"] = lambda _options, _console: verb()
        monkeypatch.setitem(sys.modules, "fake_verb", module)
        monkeypatch.setitem(cli.RUNNERS, "info", "fake_verb")
        return cli.main(["info", "map", *options])

    yield run
    logging.root.handlers[:] = before[0]
    logging.root.setLevel(before[1])


def raising(error: BaseException) -> Verb:
    def verb() -> Report:
        raise error

    return verb


def two_lines() -> Report:
    return Report(data={"answer": 42}, lines=["first", "second"])


def test_a_report_is_printed_as_lines(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(two_lines) == 0
    assert capsys.readouterr() == ("first\nsecond\n", "")


def test_json_is_one_object_on_one_line(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(two_lines, "--json") == 0

    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "format": 1,
        "verb": "info",
        "exit_code": 0,
        "error": None,
        "answer": 42,
    }
    assert out.count("\n") == 1
    assert not err


def test_quiet_prints_nothing_when_all_is_well(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(two_lines, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_is_one_line_with_its_remedy(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    error = TransientError("the service\nis busy\x1b[2J")

    assert run(raising(error)) == 75
    assert capsys.readouterr() == ("", "fieldsync: the service is busy\ufffd[2J. Try again later\n")


def test_an_error_is_told_to_programs_too(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(EngineError("no such thing", remedy="Make one")), "--json") == 1

    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "format": 1,
        "verb": "info",
        "exit_code": 1,
        "error": {"code": "error", "message": "no such thing", "remedy": "Make one"},
    }
    assert err == "fieldsync: no such thing. Make one\n"


def test_a_report_may_come_with_an_error(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(
        data={}, lines=["half"], exit_code=ExitCode.ERROR, error=EngineError("the other half")
    )

    assert run(lambda: report) == 1
    assert capsys.readouterr() == ("half\n", "fieldsync: the other half\n")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), 1, "/x: No such file or direct"),
        (PermissionError(13, "Permission denied", "/x"), 4, "/x: Permission denied"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "unexpected ZeroDivisionError: division by ze"),
        (OSError("odd"), 1, "unexpected OSError: odd"),
    ],
)
def test_other_failures_are_one_line_too(
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    assert run(raising(error)) == code

    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"fieldsync: {line}")
    assert err.count("\n") == 1


def test_a_fault_says_where_to_go_and_debug_shows_it(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run(raising(ZeroDivisionError("division by zero")))
    assert "please report it" in capsys.readouterr().err

    run(raising(ZeroDivisionError("division by zero")), "--debug")
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_warnings_of_the_engine_are_told_and_its_tracebacks_are_not(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    def verb() -> Report:
        log = logging.getLogger("engine.something")
        log.info("not worth a line")
        log.warning("the log is %d MB", 70)
        try:
            raise ValueError("x")
        except ValueError:
            log.exception("comes as an exception anyway")
        return Report(data={})

    assert run(verb) == 0
    assert capsys.readouterr() == ("", "fieldsync: warning: the log is 70 MB\n")


def test_signals_are_as_before_when_the_command_is_done(run: Callable[..., int]) -> None:
    before = [signal.getsignal(number) for number in cli.STOP_SIGNALS]

    run(two_lines)

    assert [signal.getsignal(number) for number in cli.STOP_SIGNALS] == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_before_the_work_begins_ends_the_command(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def verb() -> Report:
        signal.raise_signal(signal.Signals[name])
        raise AssertionError("the signal was not heard")

    assert run(verb) == 130
    assert capsys.readouterr() == ("", "fieldsync: interrupted\n")


def command(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "device", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_runs_as_a_module_and_knows_its_version() -> None:
    done = command("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fieldsync ")


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = command("--help", stdout=write)
    finally:
        os.close(write)

    assert (done.returncode, done.stderr) == (0, "")


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "wb") as full:
        done = command("info", "no map here", "--json", stdout=full.fileno())

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "fieldsync: cannot write the output: No space left on device"
    )


def test_a_command_that_was_started_without_an_output_works_all_the_same() -> None:
    """As some programs start others, with these files closed."""
    closed = ("sh", "-c", 'exec "$@" >&- 2>&-', "sh")
    given = (sys.executable, "-m", "device", "info", "no map here")
    done = subprocess.run([*closed, *given], timeout=60, check=False)

    assert done.returncode == 2


def test_a_name_that_the_locale_lacks_does_not_stop_a_report(tmp_path: Path) -> None:
    code = "from device.cli import main; import sys; sys.exit(main(['--version']))"
    done = subprocess.run(
        [sys.executable, "-c", f"print('start'); {code}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=60,
        check=False,
    )

    assert done.returncode == 0


def test_a_map_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    done = command("info", str(tmp_path / "nothing"))

    assert done.returncode == 2
    assert "holds no offline map" in done.stderr
    assert done.stderr.count("\n") == 1
