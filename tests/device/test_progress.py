"""The progress bar, on a terminal that is only pretended."""

import io
from datetime import UTC, datetime

import pytest

from device.console import Console
from device.progress import BAR_CELLS, CLEAR_LINE, Bar, Silence
from engine import JobEvent, JobMessage, JobStatus
from engine.sync.job import MessageSeverity, MessageSource


class Terminal(io.TextIOWrapper):
    """A terminal that remembers what was drawn."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.raw_bytes = io.BytesIO()
        super().__init__(self.raw_bytes, encoding=encoding, newline="")

    @property
    def drawn(self) -> list[str]:
        """What each drawing of the line showed."""
        return self.raw_bytes.getvalue().decode(self.encoding).split(CLEAR_LINE)[1:]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")


def event(
    progress: int,
    text: str = "",
    *,
    severity: MessageSeverity = MessageSeverity.INFO,
    source: MessageSource = MessageSource.CLIENT,
    status: JobStatus = JobStatus.STARTED,
) -> JobEvent:
    message = JobMessage(
        text=text,
        severity=severity,
        source=source,
        at=datetime(2026, 11, 22, tzinfo=UTC),
    )
    return JobEvent(status=status, progress=progress, message=message if text else None)


def test_the_bar_shows_label_share_and_what_is_going_on() -> None:
    terminal = Terminal()
    bar = Bar(terminal, "syncing", has_color=False)

    bar.show(event(0, "asking the service"))
    bar.show(event(50))

    half = BAR_CELLS // 2
    assert terminal.drawn == [
        f"syncing  {'░' * BAR_CELLS}   0 %  asking the service",
        f"syncing  {'█' * half}{'░' * half}  50 %  asking the service",
    ]


def test_the_words_of_the_service_are_marked() -> None:
    terminal = Terminal()

    Bar(terminal, "taking", has_color=False).show(event(5, "Pending", source=MessageSource.SERVICE))

    assert terminal.drawn[0].endswith("service: Pending")


def test_the_bar_is_drawn_only_when_it_changed() -> None:
    terminal = Terminal()
    bar = Bar(terminal, "syncing", has_color=False)

    for _ in range(5):
        bar.show(event(7))

    assert len(terminal.drawn) == 1


def test_the_line_never_gets_wider_than_the_terminal() -> None:
    terminal = Terminal()
    bar = Bar(terminal, "syncing", has_color=False)

    bar.show(event(10, "樹" * 200))

    (line,) = terminal.drawn
    assert len(line) + line.count("樹") < 60


def test_a_warning_stays_on_the_screen_above_the_bar() -> None:
    terminal = Terminal()
    bar = Bar(terminal, "syncing", has_color=False)

    bar.show(event(10))
    bar.show(event(10, "the file is busy", severity=MessageSeverity.WARNING))

    assert terminal.drawn[1] == "the file is busy\n"
    assert terminal.drawn[2].startswith("syncing")


def test_closing_leaves_nothing_on_the_line() -> None:
    terminal = Terminal()
    bar = Bar(terminal, "syncing", has_color=False)

    bar.show(event(10))
    bar.show(event(100, "failed", severity=MessageSeverity.ERROR, status=JobStatus.FAILED))
    bar.close()

    assert terminal.drawn[-1] == ""
    assert "failed" not in "".join(terminal.drawn)


def test_a_job_that_is_being_cancelled_says_so() -> None:
    terminal = Terminal()
    bar = Bar(terminal, "syncing", has_color=False)

    bar.show(event(10, "sending", status=JobStatus.CANCELING))

    assert terminal.drawn[-1].endswith("stopping")


def test_colour_surrounds_what_is_done() -> None:
    terminal = Terminal()

    Bar(terminal, "syncing", has_color=True).show(event(50))

    assert f"\x1b[32m{'█' * (BAR_CELLS // 2)}\x1b[0m" in terminal.drawn[0]


def test_a_terminal_without_block_characters_gets_plain_ones() -> None:
    terminal = Terminal("ascii")

    Bar(terminal, "syncing", has_color=False).show(event(50))

    assert f"{'#' * (BAR_CELLS // 2)}{'-' * (BAR_CELLS // 2)}" in terminal.drawn[0]


class Screen(Terminal):
    """A terminal that says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "is_quiet", "is_drawn"),
    [
        (Screen(), {}, False, True),
        (Screen(), {"NO_COLOR": "1"}, False, True),
        (Screen(), {"TERM": "dumb"}, False, False),
        (Screen(), {}, True, False),
        (Terminal(), {}, False, False),
    ],
)
def test_a_bar_is_drawn_for_a_person_who_watches(
    monkeypatch: pytest.MonkeyPatch,
    stream: Terminal,
    environment: dict[str, str],
    is_quiet: bool,
    is_drawn: bool,
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    Console(is_quiet=is_quiet).progress("syncing").show(event(50))

    assert bool(stream.drawn) == is_drawn
    assert ("\x1b[32m" in "".join(stream.drawn)) == (is_drawn and "NO_COLOR" not in environment)


def test_silence_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silence = Silence()
    silence.show(event(50, "x"))
    silence.close()

    assert capsys.readouterr() == ("", "")
