"""Bytes per interface, as the kernel counts them."""

from pathlib import Path

from device.links.counters import InterfaceCounters, Traffic


def set_counts(root: Path, name: str, index: int, received: int, sent: int) -> None:
    folder = root / "sys/class/net" / name
    (folder / "statistics").mkdir(parents=True, exist_ok=True)
    (folder / "ifindex").write_text(f"{index}\n")
    (folder / "statistics/rx_bytes").write_text(f"{received}\n")
    (folder / "statistics/tx_bytes").write_text(f"{sent}\n")


def remove(root: Path, name: str) -> None:
    folder = root / "sys/class/net" / name
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


def test_both_directions_count_from_one_asking_to_the_next(tmp_path: Path) -> None:
    set_counts(tmp_path, "wwan0", 4, 1_000_000, 500_000)
    set_counts(tmp_path, "eth0", 2, 7, 7)
    counters = InterfaceCounters(tmp_path)

    set_counts(tmp_path, "wwan0", 4, 1_000_300, 500_020)

    assert counters.take() == {"wwan0": 320}
    assert counters.take() == {}


def test_what_others_moved_before_is_left_out(tmp_path: Path) -> None:
    set_counts(tmp_path, "wwan0", 4, 0, 0)
    counters = InterfaceCounters(tmp_path)
    set_counts(tmp_path, "wwan0", 4, 9_000, 9_000)

    counters.begin()
    set_counts(tmp_path, "wwan0", 4, 9_001, 9_002)

    assert counters.take() == {"wwan0": 3}


def test_an_interface_made_anew_counts_from_nothing(tmp_path: Path) -> None:
    set_counts(tmp_path, "ppp0", 4, 100, 100)
    counters = InterfaceCounters(tmp_path)

    set_counts(tmp_path, "ppp0", 9, 150, 150)  # more than before, and yet all of it new

    assert counters.take() == {"ppp0": 300}


def test_counts_that_were_set_back_count_from_nothing(tmp_path: Path) -> None:
    set_counts(tmp_path, "wlan0", 3, 100, 5_000)
    counters = InterfaceCounters(tmp_path)

    set_counts(tmp_path, "wlan0", 3, 40, 5_002)

    assert counters.take() == {"wlan0": 42}


def test_an_interface_that_comes_counts_whole_and_one_that_goes_no_more(tmp_path: Path) -> None:
    set_counts(tmp_path, "eth0", 2, 10, 10)
    counters = InterfaceCounters(tmp_path)

    remove(tmp_path, "eth0")
    set_counts(tmp_path, "ppp0", 5, 30, 12)

    assert counters.take() == {"ppp0": 42}


def test_where_nothing_can_be_read_nothing_moved(tmp_path: Path) -> None:
    counters = InterfaceCounters(tmp_path / "none")
    assert counters.take() == {}
    (tmp_path / "sys/class/net/odd").mkdir(parents=True)
    assert InterfaceCounters(tmp_path).take() == {}


def test_totals_are_what_the_kernel_has_and_count_nothing_anew(tmp_path: Path) -> None:
    set_counts(tmp_path, "wwan0", 4, 1_000, 20)
    counters = InterfaceCounters(tmp_path)
    set_counts(tmp_path, "wwan0", 4, 1_500, 21)

    assert counters.totals() == {"wwan0": Traffic(received_bytes=1_500, sent_bytes=21)}
    assert counters.take() == {"wwan0": 501}
