"""Who vouches for the time of day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from device.model import ClockError, ClockTrust
from device.policy import clock_trust
from device.policy.clock_trust import ClockWatch, kernel_is_synchronised
from engine import ServiceTime
from tests.fakes.clock import START, VirtualClock


class Kernel:
    """Answers as adjtimex does."""

    def __init__(self) -> None:
        self.is_synchronised: bool | None = False

    def __call__(self) -> bool | None:
        return self.is_synchronised


def test_after_the_start_nobody_vouches_for_it(clock: VirtualClock, tmp_path: Path) -> None:
    """Not even if it looks plausible: a saved time may be a winter old."""
    assert ClockWatch(clock, sync_file=tmp_path / "none", kernel=Kernel()).look() is ClockTrust.NONE


def test_a_time_server_vouches_for_it(clock: VirtualClock, tmp_path: Path) -> None:
    kernel = Kernel()
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=kernel)
    kernel.is_synchronised = True

    assert watch.look() is ClockTrust.NTP


def test_the_file_of_timesyncd_does_where_the_kernel_may_not_be_asked(
    clock: VirtualClock, tmp_path: Path
) -> None:
    kernel = Kernel()
    kernel.is_synchronised = None
    watch = ClockWatch(clock, sync_file=tmp_path / "synchronized", kernel=kernel)
    before = watch.look()
    (tmp_path / "synchronized").touch()

    assert (before, watch.look()) == (ClockTrust.NONE, ClockTrust.NTP)


async def test_it_stays_trusted_for_days_without_a_link(
    clock: VirtualClock, tmp_path: Path
) -> None:
    kernel = Kernel()
    kernel.is_synchronised = True
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=kernel)
    watch.look()
    kernel.is_synchronised = False  # the kernel forgets after some hours

    await clock.advance(30 * 86_400)
    clock.set_now(START + timedelta(days=30, seconds=900))  # as much as it may drift

    assert watch.look() is ClockTrust.NTP


async def test_a_clock_that_is_set_by_anybody_is_not_trusted_any_more(
    clock: VirtualClock, tmp_path: Path
) -> None:
    kernel = Kernel()
    kernel.is_synchronised = True
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=kernel)
    watch.look()
    kernel.is_synchronised = False

    clock.set_now(datetime(2019, 1, 1, tzinfo=UTC))

    assert watch.look() is ClockTrust.NONE
    kernel.is_synchronised = True
    assert watch.look() is ClockTrust.NTP


@pytest.mark.parametrize(
    ("offset_s", "expected"),
    [(0, ClockTrust.MODEM), (-119, ClockTrust.MODEM), (300, ClockTrust.NONE)],
)
def test_the_mobile_network_confirms_it_or_not(
    clock: VirtualClock, tmp_path: Path, offset_s: float, expected: ClockTrust
) -> None:
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=Kernel())

    told = watch.told(clock.now() + timedelta(seconds=offset_s))

    assert told is expected
    assert watch.look() is expected


def test_a_modem_does_not_overrule_a_time_server(clock: VirtualClock, tmp_path: Path) -> None:
    kernel = Kernel()
    kernel.is_synchronised = True
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=kernel)

    assert watch.told(datetime(1980, 1, 6, tzinfo=UTC)) is ClockTrust.NTP


def test_behind_a_filter_of_system_calls_the_kernel_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "status").write_text("Name:\tpython3\nSeccomp:\t2\nSeccomp_filters:\t1\n")
    monkeypatch.setattr(clock_trust, "PROCESS_STATUS", tmp_path / "status")

    assert kernel_is_synchronised() is None


def test_the_kernel_of_this_machine_answers() -> None:
    assert kernel_is_synchronised() in (True, False, None)


# --- witnesses --------------------------------------------------------------------------------


def witness(watch: ClockWatch, clock: VirtualClock, off_s: float) -> ClockTrust:
    """A service says that it is so much later than this device has it."""
    moment = clock.now() + timedelta(seconds=off_s)
    return watch.witnessed(ServiceTime(moment=moment, at=clock.monotonic()))


def test_a_service_confirms_the_clock(clock: VirtualClock, tmp_path: Path) -> None:
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=Kernel())

    assert witness(watch, clock, 119) is ClockTrust.SERVICE
    assert watch.error is None


async def test_a_clock_that_a_service_contradicts_is_wrong_by_so_much(
    clock: VirtualClock, tmp_path: Path
) -> None:
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=Kernel())
    watch.told(clock.now())  # a mobile network is a lesser witness
    witness(watch, clock, 86_400)
    await clock.advance(1000)

    assert watch.look() is ClockTrust.NONE
    assert watch.error is not None
    assert watch.error.seconds == pytest.approx(-86_400)
    assert (watch.error.is_at_least, watch.error.told_by) == (False, ClockTrust.SERVICE)


async def test_a_clock_that_is_set_right_after_that_is_trusted(
    clock: VirtualClock, tmp_path: Path
) -> None:
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=Kernel())
    witness(watch, clock, 86_400)
    await clock.advance(100)
    before = watch.look()
    clock.set_now(clock.now() + timedelta(days=1))

    assert (before, watch.look()) == (ClockTrust.NONE, ClockTrust.SERVICE)
    assert watch.error is None


def test_a_time_server_is_believed_rather_than_a_service(
    clock: VirtualClock, tmp_path: Path
) -> None:
    kernel = Kernel()
    kernel.is_synchronised = True
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=kernel)

    assert witness(watch, clock, 86_400) is ClockTrust.NTP
    assert watch.error is None


def test_a_clock_before_the_earliest_time_that_it_can_be_is_slow_by_at_least_that(
    clock: VirtualClock, tmp_path: Path
) -> None:
    built = START + timedelta(days=10)
    watch = ClockWatch(clock, sync_file=tmp_path / "none", kernel=Kernel(), earliest=built)
    at_first = watch.error
    watch.cannot_be_before(START + timedelta(days=30))
    watch.cannot_be_before(START - timedelta(days=30))
    later = watch.error

    assert at_first == ClockError(seconds=-10 * 86_400, is_at_least=True, told_by=ClockTrust.NONE)
    assert later is not None
    assert later.seconds == -30 * 86_400
    assert watch.look() is ClockTrust.NONE
    clock.set_now(START + timedelta(days=31))
    assert watch.error is None
