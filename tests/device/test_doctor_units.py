"""``fieldsync doctor`` on a device whose service manager runs the daemon."""

from pathlib import Path

import pytest

from device.config import Config, ModemConfig, ModemHelper, ModemMode
from device.doctor import units


def installed(root: Path) -> None:
    (root / units.UNIT).parent.mkdir(parents=True)
    (root / units.UNIT).touch()


def enable(root: Path) -> None:
    (root / units.WANTED).parent.mkdir(parents=True)
    (root / units.WANTED).symlink_to(f"/etc/systemd/system/{units.DIALLER}")  # leads nowhere here


@pytest.mark.parametrize(
    ("helper", "is_enabled", "says"),
    [
        (ModemHelper.SERVICE, True, None),
        (ModemHelper.CHILD, False, None),
        (ModemHelper.CHILD, True, "two programs would dial"),
        (ModemHelper.SERVICE, False, "nobody dials"),
    ],
)
def test_one_program_dials(
    tmp_path: Path, helper: ModemHelper, is_enabled: bool, says: str | None
) -> None:
    installed(tmp_path)
    if is_enabled:
        enable(tmp_path)

    found = list(
        units.dialler(Config(modem=ModemConfig(mode=ModemMode.DIRECT, helper=helper)), tmp_path)
    )

    assert [check.detail.partition(":")[0] for check in found] == ([says] if says else [])
    assert list(units.dialler(Config(), tmp_path)) == []


def test_bytecode_that_is_missing_is_told_where_the_unit_is_installed(tmp_path: Path) -> None:
    assert list(units.compiled(tmp_path)) == []
    installed(tmp_path)
    assert [(c.name, c.is_ok) for c in units.compiled(tmp_path)] == [("bytecode", None)]
