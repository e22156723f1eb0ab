"""How the daemon is started: its options."""

from pathlib import Path

import pytest

from device.daemon import main
from engine import ExitCode


def test_check_only_reads_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.toml").write_text("")
    (tmp_path / "bad.toml").write_text("[device]\nnmae = 1\n")

    assert main([f"--config={tmp_path / 'good.toml'}", "--check"]) == 0
    assert main(["--config", str(tmp_path / "bad.toml"), "--check"]) == ExitCode.USAGE
    assert "nmae" in capsys.readouterr().err
