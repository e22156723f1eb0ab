"""In CI a skip that is not on the list fails the run; elsewhere it is only counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tests.conftest

HOUSE = Path(tests.conftest.__file__).parents[1]

CONFTEST = """
import tests.conftest
from tests.conftest import pytest_configure, pytest_sessionfinish, pytest_terminal_summary
tests.conftest.ALLOWED_SKIPS["no moon"] = "set-up cannot make one"
"""
ONE_SKIP = "import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip({reason!r})\n"


def run_pytest(
    folder: Path, source: str, *, ci: str, options: tuple[str, ...] = ()
) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(source)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    needed = {"CI": ci, "PYTHONPATH": str(HOUSE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, *options],
        cwd=folder,
        env=environment | needed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("reason", "ci", "code"),
    [("no moon tonight", "true", 0), ("lazy", "true", 1), ("lazy", "false", 0), ("lazy", "", 0)],
)
def test_a_skip_fails_ci_unless_it_is_listed(
    tmp_path: Path, reason: str, ci: str, code: int
) -> None:
    returned, output = run_pytest(tmp_path, ONE_SKIP.format(reason=reason), ci=ci)

    assert returned == code, output
    assert f"1 skipped, {code} of them not allowed" in output
    assert ("NOT ALLOWED" in output) == bool(code)
    assert output.splitlines()[-1].startswith("=")  # pytest's closing line stays the last


def test_a_whole_module_that_is_skipped_counts_too(tmp_path: Path) -> None:
    source = "import pytest\npytest.importorskip('no_such_module')\n"

    returned, output = run_pytest(tmp_path, source + "def test_a(): pass\n", ci="true")

    assert returned != 0
    assert "NOT ALLOWED test_it.py: could not import 'no_such_module'" in output


def test_skips_in_workers_count_too(tmp_path: Path) -> None:
    returned, output = run_pytest(
        tmp_path, ONE_SKIP.format(reason="lazy"), ci="true", options=("-p", "xdist", "-n", "1")
    )

    assert returned == 1, output
    assert "NOT ALLOWED test_it.py::test_b: lazy" in output


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\n"

    returned, output = run_pytest(tmp_path, source, ci="true")

    assert returned == 0, output
    assert "not allowed" not in output


def test_every_allowed_skip_says_why() -> None:
    assert all(reason and why for reason, why in tests.conftest.ALLOWED_SKIPS.items())
