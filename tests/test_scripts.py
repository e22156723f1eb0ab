"""The scripts a person runs: executable, clear about what they need, right in their counts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

pytestmark = pytest.mark.checkout

SCRIPTS = [p for p in sorted((ROOT / "scripts").iterdir()) if p.is_file() and not p.suffix]
CI_ENTRY = ROOT / ".ci/run"

PACKAGED = ("gcc", "ip", "npm", "ogr2ogr", "shellcheck", "sqlite3", "strace", "systemd-analyze")
"""Programs that stand for the packages that scripts/setup installs."""


def run(
    command: list[str | Path], *, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.run(
        command,
        cwd=cwd,
        env=inherited | {"WORKERS": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def is_bash(script: Path) -> bool:
    return script.read_bytes().startswith(b"#!/usr/bin/env bash\n")


@pytest.mark.parametrize("script", [*SCRIPTS, CI_ENTRY], ids=lambda p: p.name)
def test_a_script_can_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert script.read_bytes().startswith(b"#!/usr/bin/env ")
    if is_bash(script):
        assert "\nset -euo pipefail\n" in script.read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_help_is_there_from_any_folder(script: Path, tmp_path: Path) -> None:
    done = run([script, "--help"], cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("usage:")
    assert script.name in done.stdout.splitlines()[0]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_an_unknown_argument_is_a_usage_error(script: Path, tmp_path: Path) -> None:
    done = run([script, "--no-such-option"], cwd=tmp_path)

    assert done.returncode == 2
    assert "usage:" in done.stderr.lower()


# --- setup, in a checkout of its own --------------------------------------------------------------

TOOLS = "bash cat cut dirname env flock grep mkdir sha256sum tr"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout whose path has a space, and a PATH with next to nothing on it."""
    checkout = tmp_path / "a checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup", checkout / "scripts/setup")
    (checkout / "bin").mkdir()
    for tool in TOOLS.split():
        found = shutil.which(tool)
        assert found, tool
        (checkout / "bin" / tool).symlink_to(found)
    return checkout


def fake(checkout: Path, name: str, script: str) -> None:
    path = checkout / "bin" / name
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


def set_up(checkout: Path, *, as_root: bool = True, **environment: str) -> tuple[int, str]:
    command: list[str | Path] = [checkout / "scripts/setup"]
    if not as_root and os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        assert setpriv
        for path in (checkout, *checkout.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o777)
        for parent in checkout.parents:  # pytest's own folders are private
            if parent.stat().st_mode & 0o777 == 0o700:
                parent.chmod(0o711)
        command = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    done = run(command, cwd=Path("/"), PATH=str(checkout / "bin"), **environment)
    return done.returncode, done.stderr


def test_setup_refuses_an_old_python(bare: Path) -> None:
    fake(bare, "dpkg-query", "echo ii")
    fake(bare, "oldpython", '[[ $1 == --version ]] && echo "Python 3.9.2"; exit 1')
    for tool in PACKAGED:
        fake(bare, tool, "")

    code, output = set_up(bare, PYTHON="oldpython")

    assert code == 1
    assert output == (
        "setup: oldpython is Python 3.9.2; Python 3.11 or newer is needed: set PYTHON\n"
    )


def test_setup_names_a_python_that_is_not_there(bare: Path) -> None:
    fake(bare, "dpkg-query", "echo ii")
    for tool in PACKAGED:
        fake(bare, tool, "")

    code, output = set_up(bare, PYTHON="python9")

    assert code == 1
    assert output.startswith("setup: there is no program python9;")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_setup_as_root_installs_what_is_missing_only(bare: Path) -> None:
    fake(bare, "dpkg-query", "[[ $* == *python3-venv* ]] && echo ii")
    fake(bare, "apt-get", 'echo "apt-get $*" >> "${0%/*}/../apt.log"')
    fake(bare, "gcc", "")
    fake(bare, "npm", "")

    set_up(bare, PYTHON="python9")

    update, install = (bare / "apt.log").read_text().splitlines()
    assert update.startswith("apt-get update")
    assert install.endswith(
        "gdal-bin iproute2 libc6-dev python3-dev python3-gdal shellcheck sqlite3 strace systemd"
    )


def test_setup_for_a_person_prints_the_command_and_goes_on(bare: Path) -> None:
    fake(bare, "dpkg-query", "exit 1")
    fake(bare, "apt-get", "exit 9")

    code, output = set_up(bare, as_root=False, PYTHON="python9")

    assert (
        "\nsetup:   sudo apt-get install -y --no-install-recommends gcc gdal-bin iproute2 "
        in output
    )
    assert "there is no program python9" in output
    assert code == 1


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_the_device_when_there_is_no_emulator_is_loudly_not_tested(
    bare: Path, ci: str, code: int
) -> None:
    done = run([ROOT / "scripts/device-test"], cwd=bare, PATH=str(bare / "bin"), CI=ci)

    assert done.returncode == code
    assert "*** THE DEVICE WAS NOT TESTED: no " in done.stderr
    assert "qemu-system-arm" in done.stderr


# --- install --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_installation_puts_every_file_where_the_page_says(tmp_path: Path) -> None:
    rows = re.findall(
        r"^\| `(device/systemd/\S+)` \| `(\S+)` \|",
        (ROOT / "docs/device.md").read_text(),
        re.MULTILINE,
    )

    for _ in range(2):  # it is repeated after an update
        done = run(
            [ROOT / "scripts/install"],
            cwd=tmp_path,
            DESTDIR=f"{tmp_path}/image",
            PYTHON=sys.executable,
        )
        assert done.returncode == 0, done.stderr
        (tmp_path / "image/etc/fieldsync/credentials.toml").write_text("mine")

    places = {Path(source): tmp_path / f"image{place}" for source, place in rows}
    found = {s: p if p.is_file() else p / s.name for s, p in places.items()}
    assert len(found) == len([*(ROOT / "device/systemd").iterdir()])
    assert [s for s, p in found.items() if p.read_bytes() != (ROOT / s).read_bytes()] == []
    assert os.access(found[Path("device/systemd/lamps-for-fieldsync")], os.X_OK)
    kept = tmp_path / "image/etc/fieldsync/credentials.toml"
    assert (kept.stat().st_mode & 0o777, kept.read_text()) == (0o600, "mine")
    assert [*(tmp_path / "image").rglob("bin/fieldsyncd")]
    assert [*(tmp_path / "image").rglob("native/_native.abi3.so")]


# --- test, in a checkout of its own ---------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    checkout = tmp_path / "a checkout"
    (checkout / "scripts").mkdir(parents=True)
    (checkout / "tests").mkdir()
    shutil.copy(ROOT / "scripts/test", checkout / "scripts/test")
    (checkout / ".venv/bin").mkdir(parents=True)
    python = checkout / ".venv/bin/python"
    python.write_text(f'#!/usr/bin/env bash\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (checkout / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["slow: slow"]\naddopts = ["-p", "xdist"]\n'
    )
    (checkout / "scripts/setup").write_text("#!/usr/bin/env bash\n")
    (checkout / "scripts/setup").chmod(0o755)
    return checkout


def test_the_last_line_counts_every_stage(small: Path) -> None:
    (small / "tests/test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('why')\n"
        "@pytest.mark.slow\ndef test_c(): pass\n"
    )

    done = run([small / "scripts/test", "setup", "unit", "slow"], cwd=Path("/"))

    assert done.stdout.splitlines()[-1] == "3 passed, 0 failed, 1 skipped"
    assert done.returncode == 0


def test_the_files_of_the_tests_are_gone_after_the_run(small: Path) -> None:
    (small / "tests/test_it.py").write_text(
        "import tempfile\nfrom pathlib import Path\n"
        "def test_a():\n"
        "    folder = Path(tempfile.mkdtemp())\n"
        f"    Path({str(small / 'place')!r}).write_text(str(folder))\n"
    )

    done = run([small / "scripts/test", "unit"], cwd=Path("/"))

    assert done.returncode == 0, done.stdout
    folder = Path((small / "place").read_text())
    assert not folder.exists()
    assert not folder.parent.exists()


def test_a_failure_stops_no_later_stage_and_fails_the_run(small: Path) -> None:
    (small / "tests/test_it.py").write_text(
        "import pytest\ndef test_a(): assert False\n@pytest.mark.slow\ndef test_c(): pass\n"
    )
    (small / "scripts/setup").write_text("#!/usr/bin/env bash\nexit 3\n")

    done = run([small / "scripts/test", "setup", "unit", "slow"], cwd=Path("/"))

    assert done.stdout.splitlines()[-1] == "1 passed, 2 failed, 0 skipped"
    assert done.returncode == 1
    table = [line.split()[0] for line in done.stdout.splitlines() if " passed " in line]
    assert table == ["setup", "unit", "slow"]


def test_a_broken_test_file_fails_the_run(small: Path) -> None:
    (small / "tests/test_it.py").write_text("import no_such_module\n")

    done = run([small / "scripts/test", "unit"], cwd=Path("/"))

    assert done.stdout.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
    assert done.returncode == 1
