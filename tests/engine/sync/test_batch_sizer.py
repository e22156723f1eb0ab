"""The size of requests follows what the link carries."""

from engine.sync.batch_sizer import MAX_BYTES, MIN_BYTES, START_BYTES, TARGET_S, BatchSizer


def test_size_doubles_while_requests_arrive_fast() -> None:
    sizer = BatchSizer()

    for _ in range(10):
        sizer.arrived(sizer.limit_bytes, 0.1)

    assert sizer.limit_bytes == MAX_BYTES


def test_size_is_what_a_thin_link_carries_in_time() -> None:
    sizer, bytes_per_s = BatchSizer(), 1000

    for _ in range(5):
        sizer.arrived(sizer.limit_bytes, sizer.limit_bytes / bytes_per_s)

    assert sizer.limit_bytes == bytes_per_s * TARGET_S


def test_size_is_halved_by_each_loss_down_to_the_least() -> None:
    sizer = BatchSizer()

    sizer.lost()
    assert sizer.limit_bytes == START_BYTES // 2
    for _ in range(20):
        sizer.lost()
    assert sizer.limit_bytes == MIN_BYTES


def test_small_request_tells_nothing_of_large_ones() -> None:
    sizer = BatchSizer()

    sizer.arrived(500, 30.0)

    assert sizer.limit_bytes == START_BYTES


def test_size_that_was_too_large_is_never_reached_again() -> None:
    sizer = BatchSizer()

    assert sizer.too_large(100_000)
    for _ in range(10):
        sizer.arrived(sizer.limit_bytes, 0.0)

    assert sizer.limit_bytes == 50_000
    assert not sizer.too_large(MIN_BYTES)
