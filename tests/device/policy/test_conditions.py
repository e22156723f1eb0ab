"""The device's condition, read from files as the kernel has them; what is missing is unknown."""

import os
from pathlib import Path

import pytest

from device.policy import conditions
from tests.fakes.clock import VirtualClock


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_where_nothing_can_be_read_nothing_is_known(tmp_path: Path, clock: VirtualClock) -> None:
    found = conditions.read(clock=clock, root=tmp_path, maps={"gone": tmp_path / "gone"})

    assert found == conditions.Conditions(read_at=0.0)


def test_all_of_it_is_read_where_the_kernel_has_it(tmp_path: Path, clock: VirtualClock) -> None:
    put(tmp_path, "sys/class/hwmon/hwmon0/temp1_input", "48000\n")
    put(tmp_path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "81712\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "40000\n")
    put(tmp_path, "sys/class/power_supply/BAT0/capacity", "55\n")
    put(tmp_path, "sys/class/power_supply/BAT0/status", "Discharging\n")
    put(tmp_path, "sys/class/power_supply/BAT1/capacity", "9\n")

    found = conditions.read(clock=clock, root=tmp_path)

    assert found == conditions.Conditions(
        read_at=0.0,
        is_undervoltage=True,
        temperature_c=81.712,
        battery_percent=9.0,
        is_charging=False,
    )


@pytest.mark.parametrize(
    ("files", "is_charging"),
    [
        ({"BAT0/status": "Charging\n"}, True),
        ({"BAT0/status": "Full\n"}, True),
        ({"BAT0/status": "Discharging\n", "AC/online": "1\n"}, True),
        ({"BAT0/status": "Discharging\n", "AC/online": "0\n"}, False),
        ({"usb/online": "0\n"}, False),
        ({}, None),
    ],
)
def test_power_that_comes_in_is_noticed(
    tmp_path: Path, clock: VirtualClock, files: dict[str, str], is_charging: bool | None
) -> None:
    for name, text in files.items():
        put(tmp_path, f"sys/class/power_supply/{name}", text)

    assert conditions.read(clock=clock, root=tmp_path).is_charging is is_charging


def test_the_battery_of_a_mouse_is_not_ours(tmp_path: Path, clock: VirtualClock) -> None:
    put(tmp_path, "sys/class/power_supply/hid0/capacity", "3\n")
    put(tmp_path, "sys/class/power_supply/hid0/scope", "Device\n")

    assert conditions.read(clock=clock, root=tmp_path).battery_percent is None


def test_a_board_may_say_its_charge_in_a_file(tmp_path: Path, clock: VirtualClock) -> None:
    put(tmp_path, "run/ups/percent", "7.5\n")

    found = conditions.read(clock=clock, root=tmp_path, battery=tmp_path / "run/ups/percent")

    assert found.battery_percent == 7.5


@pytest.mark.parametrize("text", ["", "unknown", "nan", "inf", "-1e999", "\xff"])
def test_nonsense_is_unknown(tmp_path: Path, clock: VirtualClock, text: str) -> None:
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", text)
    put(tmp_path, "sys/class/hwmon/hwmon0/in0_lcrit_alarm", text)

    found = conditions.read(clock=clock, root=tmp_path)

    assert (found.temperature_c, found.is_undervoltage) == (None, None)


def test_two_maps_on_one_disk_are_one_disk(tmp_path: Path, clock: VirtualClock) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()

    (disk,) = conditions.read(
        clock=clock, root=tmp_path, maps={"one": tmp_path / "one", "two": tmp_path / "two"}
    ).disks

    assert disk.folder == str(tmp_path / "one")
    assert 0 < disk.free_bytes <= disk.size_bytes
    assert not disk.is_read_only


def test_a_disk_that_became_read_only_is_noticed(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    fields = list(real)
    fields[8] = os.ST_RDONLY  # f_flag
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(fields))

    (disk,) = conditions.read(clock=clock, root=tmp_path, maps={"park": tmp_path}).disks

    assert disk.is_read_only
