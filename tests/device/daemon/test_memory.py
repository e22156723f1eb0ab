"""What keeps the daemon small: one heap for all threads, and no module that few maps need."""

import subprocess
import sys

import pytest

HEAPS = """
import ctypes, os, sys, threading
from device.memory import share_one_heap

if len(sys.argv) == 1:
    share_one_heap()
libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_info"):
    sys.exit(77)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.fdopen.restype, libc.fdopen.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_char_p]
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
together = threading.Barrier(4)

def work():
    together.wait()
    libc.malloc(5000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join()
stream = libc.fdopen(1, b"w")
libc.malloc_info(0, stream)
libc.fclose(stream)
"""
LOADED = "import sys, device.daemon; print(*sys.modules)"


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this C library does not tell of its heaps")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_threads_share_one_heap() -> None:
    assert run(HEAPS).count("<heap ") == 1


def test_threads_that_are_not_told_to_have_heaps_of_their_own() -> None:
    """Or the test above would prove nothing."""
    assert run(HEAPS, "each its own").count("<heap ") > 1


def test_what_only_some_maps_need_is_not_loaded_with_the_daemon() -> None:
    loaded = set(run(LOADED).split())

    assert not loaded & {
        "device.modem.part",
        "engine.maps.operational_layers",
        "engine.maps.package_update",
        "engine.maps.scheduled_sync",
        "engine.service.portal",
        "engine.sync.delta_file",
        "engine.sync.package_merge",
    }


def test_no_library_is_loaded_that_only_lists_and_guesses_need() -> None:
    loaded = run("import device.daemon; print(open('/proc/self/maps').read())")

    assert "_ssl" in loaded or "libssl" in loaded
    assert "libstdc++" not in loaded
    assert "charset_normalizer" not in loaded
