"""The AT dialogue tells answers, unsolicited lines and noise apart, however the bytes arrive."""

import pytest
from hypothesis import given, strategies as st

from device.modem.at import (
    MAX_LINE,
    MAX_LINES,
    Answer,
    Command,
    Dialogue,
    Event,
    Result,
    Unsolicited,
)

SIGNAL = Command(text="AT+CSQ", prefix="+CSQ:", timeout_s=5)
HEARD = b"AT+CSQ\r\r\n+CSQ: 21,99\r\n\r\nOK\r\n"
CHATTER = [b"\r\nRING\r\n", b"\r\n+CREG: 1\r\n", b"\r\n*PSUTTZ: 2026,6,1\r\n", b"\x00", b"\r\n\r\n"]


def said(dialogue: Dialogue, *pieces: bytes) -> list[Event]:
    return [event for piece in pieces for event in dialogue.receive(piece)]


def asking(command: Command = SIGNAL) -> Dialogue:
    dialogue = Dialogue()
    assert dialogue.send(command, 0.0) == command.text.encode() + b"\r"
    return dialogue


def test_answer_is_the_same_wherever_the_bytes_are_split() -> None:
    whole = said(asking(), HEARD)
    assert whole == [Answer(command=SIGNAL, result=Result.OK, lines=("+CSQ: 21,99",))]
    for place in range(1, len(HEARD)):
        assert said(asking(), HEARD[:place], HEARD[place:]) == whole
    assert said(asking(), *[bytes([byte]) for byte in HEARD]) == whole


@given(st.lists(st.tuples(st.sampled_from(CHATTER), st.integers(0, 3)), max_size=6))
def test_what_is_said_in_between_is_unsolicited_and_changes_no_answer(
    chatter: list[tuple[bytes, int]],
) -> None:
    lines = [b"AT+CSQ\r", b"\r\n+CSQ: 21,99\r\n", b"\r\nOK\r\n"]
    pieces = []
    for place, line in enumerate([*lines, b""]):
        pieces += [text for text, where in chatter if where == place]
        pieces.append(line)
    events = said(asking(), b"".join(pieces))
    answers = [e for e in events if isinstance(e, Answer)]
    assert [a.value for a in answers] == ["21,99"]
    spoken = [t.strip().decode() for t, _ in chatter if t.strip(b"\r\n\x00")]
    assert sorted(e.text for e in events if isinstance(e, Unsolicited)) == sorted(spoken)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_garbage_never_raises_and_is_never_kept(pieces: list[bytes]) -> None:
    dialogue = asking()
    for piece in pieces:
        for event in dialogue.receive(piece):
            if isinstance(event, Answer):
                dialogue.abandon()
                dialogue.send(SIGNAL, 0.0)
    assert len(dialogue._buffer) <= MAX_LINE
    dialogue.abandon()
    dialogue.send(SIGNAL, 0.0)
    answers = [e for e in dialogue.receive(b"\r\n" + HEARD) if isinstance(e, Answer)]
    assert [a.value for a in answers] == ["21,99"]


@pytest.mark.parametrize(
    ("line", "result", "detail"),
    [
        (b"ERROR", Result.ERROR, ""),
        (b"+CME ERROR: 10", Result.ERROR, "10"),
        (b"+CME ERROR: SIM not inserted", Result.ERROR, "SIM not inserted"),
        (b"+CMS ERROR: 310", Result.ERROR, "310"),
        (b"NO CARRIER", Result.NO_CARRIER, ""),
        (b"BUSY", Result.BUSY, ""),
        (b"NO ANSWER", Result.NO_ANSWER, ""),
        (b"NO DIALTONE", Result.NO_DIALTONE, ""),
    ],
)
def test_every_final_result_ends_the_command(line: bytes, result: Result, detail: str) -> None:
    assert said(asking(), b"\r\n" + line + b"\r\n") == [
        Answer(command=SIGNAL, result=result, detail=detail)
    ]


def test_after_a_connect_the_bytes_are_data() -> None:
    dial = Command(text="ATD*99***1#")
    (answer,) = said(asking(dial), b"\r\nCONNECT 115200\r\n~\xff}#\xc0!\r\nOK\r\n")
    assert isinstance(answer, Answer)
    assert (answer.result, answer.detail) == (Result.CONNECT, "CONNECT 115200")


def test_plain_information_is_the_answer_only_to_commands_that_have_it() -> None:
    model = Command(text="AT+CGMM", has_information=True)
    (answer,) = said(asking(model), b"\r\nSIMCOM_SIM7600E-H\r\n\r\nOK\r\n")
    assert isinstance(answer, Answer)
    assert answer.value == "SIMCOM_SIM7600E-H"
    first, second = said(asking(Command(text="AT")), b"\r\nRDY\r\n\r\nOK\r\n")
    assert first == Unsolicited("RDY")
    assert isinstance(second, Answer)
    assert second.lines == ()


def test_long_answers_are_cut() -> None:
    (answer,) = said(asking(), b"\r\n+CSQ: 1\r\n" * 1000 + b"OK\r\n")
    assert isinstance(answer, Answer)
    assert len(answer.lines) == MAX_LINES


def test_time_out_ends_the_command_at_its_deadline_and_a_late_answer_answers_nothing() -> None:
    dialogue = asking()
    assert dialogue.tick(4.9) is None
    assert dialogue.tick(5.0) == Answer(command=SIGNAL, result=Result.TIMED_OUT)
    assert dialogue.deadline is None
    assert said(dialogue, b"\r\nOK\r\n") == []


def test_second_command_has_to_wait_for_the_end_of_the_first() -> None:
    with pytest.raises(RuntimeError):
        asking().send(SIGNAL, 0.0)
