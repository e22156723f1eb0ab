"""What can be typed, and what is said about what cannot."""

import re
from argparse import Namespace
from pathlib import Path

import pytest

from device.cli import RUNNERS
from device.cli_errors import UsageError
from device.cli_parser import defaults, joined, make_parser
from engine import Envelope, ExitCode, SpatialReference
from tests.sources import ROOT


def parsed(*arguments: str) -> Namespace:
    return make_parser().parse_args(joined(arguments), defaults())


def test_take_reads_everything_it_is_given() -> None:
    options = parsed(
        *("take", "https://example.org/FeatureServer", "my map"),
        *("--area", "-114.1,36.9,-109.0,42.0", "--layers", "0,1,0"),
        *("--where", "0:STATE='UT'", "--where", "1: a:b > 2 "),
        *("--no-attachments", "--sync-model", "perLayer", "--json"),
    )

    assert options.url == "https://example.org/FeatureServer"
    assert options.map == Path("my map")
    assert options.area == Envelope(
        xmin=-114.1, ymin=36.9, xmax=-109.0, ymax=42.0, spatial_reference=SpatialReference.of(4326)
    )
    assert options.layers == (0, 1)
    assert options.where == [(0, "STATE='UT'"), (1, "a:b > 2")]
    assert options.attachments == "none"
    assert options.sync_model == "perLayer"
    assert options.json
    assert not options.quiet


def test_take_has_defaults_for_all_but_service_and_folder() -> None:
    options = parsed("take", "https://example.org/FeatureServer", "map")

    assert (options.area, options.layers, options.where) == (None, None, [])
    assert options.attachments is None
    assert options.sync_model is None


def test_an_area_may_name_its_spatial_reference() -> None:
    options = parsed("take", "u", "m", "--area=1,2,3,4,3857")

    assert options.area.spatial_reference.wkid == 3857


def test_sync_goes_both_ways_unless_told_otherwise() -> None:
    assert parsed("sync", "map").direction == "bidirectional"
    assert parsed("sync", "map").conflicts == "last-synced"
    assert parsed("sync", "map", "--direction", "upload").direction == "upload"
    assert parsed("sync", "map", "--conflicts", "manual").conflicts == "manual"


@pytest.mark.parametrize("verb", ["edits", "info", "register", "unregister"])
def test_other_verbs_need_only_the_map(verb: str) -> None:
    assert parsed(verb, "map").map == Path("map")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: VERB. See fieldsync --help"),
        (["fetch"], "invalid choice: 'fetch'"),
        (["take", "url"], "required: MAP. See fieldsync take --help"),
        (["take", "u", "m", "--area", "1,2"], "'1,2' is not xmin,ymin,xmax,ymax[,wkid]"),
        (["take", "u", "m", "--area", "3,2,1,4"], "a minimum is greater than its maximum"),
        (["take", "u", "m", "--area", "--layers", "0"], "'--layers' is not xmin"),
        (["take", "u", "m", "--layers", "0;1"], "no list of layer ids; write them like 0,1"),
        (["take", "u", "m", "--layers", ""], "no list of layer ids"),
        (["take", "u", "m", "--where", "STATE='UT'"], "no layer id and clause"),
        (["take", "u", "m", "--where", "0:"], "no layer id and clause"),
        (["take", "u", "m", "--no-attachments", "--attachments", "upload"], "not allowed with"),
        (["sync", "map", "--direction", "up"], "invalid choice: 'up'"),
        (["sync", "map", "--dir", "upload"], "unrecognized arguments: --dir"),
        (["info", "map", "other"], "unrecognized arguments: other"),
    ],
)
def test_what_cannot_be_understood_is_told_in_one_line(
    arguments: list[str], complaint: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        parsed(*arguments)

    assert complaint in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("verb", sorted(RUNNERS))
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parsed(verb, "--help")

    text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"  fieldsync {verb} " in text.split("example", 1)[1]


def test_every_verb_can_be_run() -> None:
    verbs = make_parser().format_help().split("verbs:", 1)[1]

    assert all(f"    {verb}" in verbs for verb in RUNNERS)


@pytest.mark.checkout
def test_every_verb_and_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    assert not [verb for verb in RUNNERS if not re.search(rf"\| `{verb}[ `]", page)]
    codes = set(ExitCode) - {ExitCode.DAEMON_NOT_RUNNING}
    assert not [code for code in codes if f"\n| {code:d} | " not in page]
