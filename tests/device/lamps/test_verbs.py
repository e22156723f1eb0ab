"""``fieldsync leds``, the sticker, and the lamps of a daemon that has ended."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from device.api.json_form import as_json
from device.api.status import LampSign, LampStatus
from device.cli import main
from device.lamps.dead import play_dead
from device.lamps.language import ONE, SIGNS, THREE, Lamp
from device.lamps.led import Led
from device.lamps.rhythm import BREATH, OFF, SOLID, Rhythm
from device.lamps.sticker import lines, sticker
from device.model import Indication
from tests.fakes.daemon import DaemonThread
from tests.fakes.leds import FakeLeds

NAMES = ("fieldsync:link", "fieldsync:sync", "fieldsync:attention")


@pytest.fixture
def leds(tmp_path: Path) -> FakeLeds:
    leds = FakeLeds(tmp_path / "leds")
    for name in NAMES:
        leds.add(name)
    return leds


def play(leds: FakeLeds, *rhythms: Rhythm) -> None:
    for name, rhythm in zip(NAMES, rhythms, strict=True):
        assert Led(leds.root / name, leds).play(rhythm)


def test_explain_when_the_kernel_plays_says_it_in_words(
    leds: FakeLeds, capsys: pytest.CaptureFixture[str]
) -> None:
    play(leds, SOLID, BREATH, OFF)

    assert main(["leds", "explain", "--folder", str(leds.root)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == ["LINK", "SYNC", "ATTN"]
    assert "is lit" in lines[2]
    assert "The service can be reached." in lines[2]
    assert "comes and goes slowly" in lines[3]


def test_explain_when_a_daemon_runs_says_what_it_tells(
    socket_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign = LampSign(lamp="STATUS", rhythm="wink-1", words="winks once", meaning="All is well.")
    told = LampStatus(indication=Indication(), signs=(sign,))
    with DaemonThread(socket_path) as daemon:
        daemon.appliance.fields["lamps"] = told

        assert main(["leds", "explain", "--json", "--socket", str(socket_path)]) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["told_by"] == "daemon"
    assert report["lamps"] == as_json((sign,))


def test_explain_when_the_daemon_has_no_lamps_looks_into_the_kernel(
    leds: FakeLeds, socket_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(leds, OFF, OFF, SOLID)
    words = ["leds", "explain", "--json", "--folder", str(leds.root), "--socket", str(socket_path)]
    with DaemonThread(socket_path):
        assert main(words) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["told_by"] == "kernel"
    assert {lamp["meaning"] for lamp in report["lamps"]} == {"fieldsync does not run."}


def test_explain_when_nothing_was_played_says_so(
    leds: FakeLeds, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leds", "explain", "--folder", str(leds.root)]) == 0

    assert "there is no lamp" in capsys.readouterr().out


def test_explain_when_there_are_no_lamps_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leds", "explain", "--folder", str(tmp_path)]) == 1

    assert "docs/device.md" in capsys.readouterr().err


def test_explain_when_two_leds_are_named_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["leds", "explain", "--leds", "a,b"]) == 2

    assert "three lamps, one, or none" in capsys.readouterr().err


@pytest.mark.parametrize(("board", "lamps"), [("three", THREE), ("one", ONE)])
def test_the_sticker_when_written_tells_every_sign(
    tmp_path: Path, board: str, lamps: tuple[Lamp, ...]
) -> None:
    path = tmp_path / "lamps.svg"

    assert main(["leds", "sticker", str(path), "--board", board]) == 0

    words = " ".join(ElementTree.parse(path).getroot().itertext())
    for sign in SIGNS:
        if sign.lamp in lamps:
            assert sign.rhythm.words in words
            assert sign.meaning.split()[-1] in words


def test_the_sticker_when_the_file_is_there_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "lamps.svg"
    path.write_text("mine")

    assert main(["leds", "sticker", str(path)]) == 2

    assert path.read_text() == "mine"


def test_a_meaning_takes_no_more_than_two_lines_of_the_sticker() -> None:
    assert max(len(lines(sign.meaning)) for sign in SIGNS) == 2


def test_the_sticker_keeps_its_words_within_its_edge() -> None:
    """A letter of that font is about 0.55 of its size wide, on the average of a line."""
    for lamps in (THREE, ONE):
        for text in ElementTree.fromstring(sticker(lamps)).iter():
            if not text.tag.endswith("text"):
                continue
            width = len(text.text or "") * 0.55 * float(text.attrib["font-size"])
            limit = 39.5 if text.attrib["font-size"] == "1.9" else 99.5
            assert float(text.attrib["x"]) + width <= limit, text.text


def test_dead_lamps_are_dark_but_for_the_last(leds: FakeLeds) -> None:
    assert play_dead(NAMES, root=leds.root, files=leds) == []

    assert [leds.edges(name, 5000) for name in NAMES] == [[(0, 0)], [(0, 0)], [(0, 1)]]


def test_dead_lamps_when_one_is_missing_tell_it_and_play_the_others(leds: FakeLeds) -> None:
    leds.remove(NAMES[0])

    problems = play_dead(NAMES, root=leds.root, files=leds)

    assert problems == [f"there is no lamp {NAMES[0]} in {leds.root}"]
    assert leds.edges(NAMES[2], 5000) == [(0, 1)]


def test_dead_lamps_when_run_by_systemd_load_next_to_nothing(leds: FakeLeds) -> None:
    play(leds, OFF, OFF, OFF)
    code = (
        "import sys; from device.lamps.dead import main; code = main(sys.argv[1:]); "
        "heavy = {'asyncio', 'engine', 'ssl', 'json'} & set(sys.modules); "
        "sys.exit(code or len(heavy))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *NAMES, "--root", str(leds.root)], timeout=60, check=False
    )

    assert done.returncode == 0
    assert (leds.root / NAMES[2] / "pattern").read_text() == "1 1000 1 1000"
