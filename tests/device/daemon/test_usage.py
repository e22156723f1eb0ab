"""How the daemon is started: its options, and what it says of wrong ones."""

from pathlib import Path

import pytest

from device.daemon import main
from engine import ExitCode


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--config is needed"),
        (["--check"], "--config is needed"),
        (["--config"], "option --config requires argument"),
        (["--config", ""], "--config is needed"),
        (["--config", "/etc/f.toml", "now"], "what is 'now'?"),
        (["--quiet"], "option --quiet not recognized"),
    ],
)
def test_a_wrong_use_is_told_with_the_right_one(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == ExitCode.USAGE

    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("usage: fieldsyncd --config FILE")
    assert err.endswith(f"fieldsyncd: {reason}\n")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_given_without_a_configuration(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([option]) == 0

    assert "--check" in capsys.readouterr().out


def test_check_only_reads_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.toml").write_text("")
    (tmp_path / "bad.toml").write_text("[device]\nnmae = 1\n")

    assert main([f"--config={tmp_path / 'good.toml'}", "--check"]) == 0
    assert main(["--config", str(tmp_path / "bad.toml"), "--check"]) == ExitCode.USAGE
    assert "nmae" in capsys.readouterr().err
