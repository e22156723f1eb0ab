"""Downloads over connections that break, and servers that do not do what was asked."""

import asyncio
import gzip
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.errors import LinkError, ProtocolError, ServiceRefusedError, StorageFullError
from engine.service.download import CHUNK_BYTES, IDLE_RUNS, discard, download, kept, using
from engine.service.session import ATTEMPTS, Session
from tests.fakes.file_server import FakeFile
from tests.fakes.http_server import Cut, HttpServer, answer
from tests.killing import KILLED, ROOT

MEMO = {"why": "test"}
LARGE = random.Random(1).randbytes(3 * CHUNK_BYTES + 1000)
TEXT = b"".join(b'{"OBJECTID":%d,"name":"hydrant"},' % n for n in range(20_000))


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_broken_download_goes_on_where_it_broke(session: Session, tmp_path: Path) -> None:
    file = FakeFile(content=LARGE, cuts=[300_000, 100_000])
    async with file.server() as server:
        size = await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert size == len(LARGE)
    assert (tmp_path / "f").read_bytes() == LARGE
    # What the connection held when it broke is lost with it: up to its two buffers.
    assert 300_000 - 2 * 64 * 1024 <= file.ranges[1] <= 300_000 < file.ranges[2] <= 400_000
    assert session.received_bytes == len(LARGE)
    assert files_in(tmp_path) == {"f"}


@pytest.mark.parametrize("packs", [False, True])
@pytest.mark.parametrize("etag", ['"1"', 'W/"1"', ""])
async def test_a_download_cut_at_any_byte_comes_whole(
    packs: bool, etag: str, session: Session, tmp_path: Path
) -> None:
    content = TEXT[:600]
    for size in range(0, 600, 7):
        file = FakeFile(content=content, cuts=[size], packs=packs, etag=etag)
        async with file.server() as server:
            await download(session, server.origin, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == content


async def test_as_long_as_something_comes_it_goes_on(session: Session, tmp_path: Path) -> None:
    file = FakeFile(content=LARGE, cuts=[20_000] * 30)
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert (tmp_path / "f").read_bytes() == LARGE
    assert len(file.asked) > 4 * ATTEMPTS


async def test_when_nothing_comes_it_ends(session: Session, tmp_path: Path) -> None:
    file = FakeFile(content=LARGE, cuts=[20_000] + [0] * 30)
    async with file.server() as server:
        with pytest.raises(LinkError):
            await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert len(file.asked) == ATTEMPTS
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize(
    "careless",
    [
        {"knows_ranges": False},
        {"shifts_ranges": True},
        {"etag": 'W/"1"'},
        {"etag": "", "last_modified": "Wed, 01 May 2024 12:00:00 GMT"},  # in the same second
    ],
)
async def test_a_server_without_sound_ranges_gives_it_whole(
    careless: dict[str, Any], session: Session, tmp_path: Path
) -> None:
    file = FakeFile(content=LARGE, cuts=[300_000], **careless)
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert (tmp_path / "f").read_bytes() == LARGE


async def test_a_date_serves_where_there_is_no_tag(session: Session, tmp_path: Path) -> None:
    file = FakeFile(
        content=LARGE, cuts=[300_000], etag="", last_modified="Wed, 01 May 2024 11:59:59 GMT"
    )
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert file.asked[1].headers["if-range"] == file.last_modified
    assert file.ranges[1] > 0


@pytest.mark.parametrize("length", [0, 100, len(LARGE), 2 * len(LARGE)])
async def test_a_file_that_changes_meanwhile_is_not_mixed(
    length: int, session: Session, tmp_path: Path
) -> None:
    newer = random.Random(2).randbytes(length)
    file = FakeFile(content=LARGE, cuts=[300_000], then=(newer, '"2"'))
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert (tmp_path / "f").read_bytes() == newer


async def test_a_range_behind_the_end_begins_anew(session: Session, tmp_path: Path) -> None:
    file = FakeFile(content=LARGE, cuts=[300_000], then=(b"short", '"1"'))  # under the same tag
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert (tmp_path / "f").read_bytes() == b"short"


async def test_parts_that_are_smaller_than_asked_for_are_put_together(
    session: Session, tmp_path: Path
) -> None:
    file = FakeFile(content=LARGE, cuts=[300_000], part_bytes=100_000)
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert (tmp_path / "f").read_bytes() == LARGE


# --- compressed -----------------------------------------------------------------------------------


async def test_what_was_nearly_all_there_goes_on_plain(session: Session, tmp_path: Path) -> None:
    packed_bytes = len(gzip.compress(TEXT, mtime=0))
    file = FakeFile(content=TEXT, packs=True, cuts=[packed_bytes - 100])
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f")

    assert (tmp_path / "f").read_bytes() == TEXT
    assert file.ranges[1] > len(TEXT) * 0.9
    assert session.received_bytes < 2 * packed_bytes


async def test_what_had_hardly_begun_is_asked_for_packed_again(
    session: Session, tmp_path: Path
) -> None:
    file = FakeFile(content=TEXT, packs=True, cuts=[2000])
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f")

    assert file.ranges == [0, 0]
    assert "gzip" in file.asked[1].headers["accept-encoding"]


async def test_what_breaks_twice_goes_on_plain(session: Session, tmp_path: Path) -> None:
    file = FakeFile(content=TEXT, packs=True, cuts=[4000] * 60)
    async with file.server() as server:
        await download(session, server.origin, tmp_path / "f")

    assert (tmp_path / "f").read_bytes() == TEXT
    assert file.ranges[2] > 0


# --- in another run -------------------------------------------------------------------------------


async def test_what_a_run_has_fetched_the_next_goes_on_with(
    session: Session, tmp_path: Path
) -> None:
    target = tmp_path / "f"
    file = FakeFile(content=LARGE, cuts=[600_000, *[0] * 5])
    async with file.server() as server:
        with pytest.raises(LinkError):
            await download(session, server.origin, target, memo=MEMO, is_packable=False)
        found = kept(target)
        assert found is not None
        assert (found.url, found.memo) == (server.origin, MEMO)
        await download(session, server.origin, target, memo=MEMO, is_packable=False)

    assert target.read_bytes() == LARGE
    assert session.received_bytes == len(LARGE)


async def test_a_file_that_was_never_used_is_not_fetched_again(
    session: Session, tmp_path: Path
) -> None:
    target = tmp_path / "f"
    file = FakeFile(content=LARGE)
    async with file.server() as server:
        with suppress(ZeroDivisionError), using(target):
            await download(session, server.origin, target, memo=MEMO)
            raise ZeroDivisionError
        assert kept(target) is not None
        assert await download(session, server.origin, target, memo=MEMO) == len(LARGE)
        assert len(file.asked) == 1

    discard(target)
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("error", [None, ProtocolError("spoiled")])
async def test_a_file_that_was_used_or_spoiled_is_gone(
    error: Exception | None, session: Session, tmp_path: Path
) -> None:
    target = tmp_path / "f"
    async with FakeFile(content=LARGE).server() as server:
        with suppress(ProtocolError), using(target):
            await download(session, server.origin, target, memo=MEMO)
            if error is not None:
                raise error

    assert files_in(tmp_path) == set()


async def test_a_small_file_leaves_nothing_to_go_on_with(session: Session, tmp_path: Path) -> None:
    target = tmp_path / "f"
    async with FakeFile(content=TEXT[:1000]).server() as server:
        with suppress(ZeroDivisionError), using(target):
            await download(session, server.origin, target, memo=MEMO)
            assert kept(target) is None
            raise ZeroDivisionError

    assert files_in(tmp_path) == set()


async def test_another_file_is_not_gone_on_with(session: Session, tmp_path: Path) -> None:
    target = tmp_path / "f"
    file = FakeFile(content=LARGE, cuts=[600_000, *[0] * 5])
    async with file.server() as server:
        with pytest.raises(LinkError):
            await download(session, server.origin, target, memo=MEMO, is_packable=False)
        await download(session, f"{server.origin}/other", target, memo=MEMO)

    assert file.ranges[-1] == 0
    assert target.read_bytes() == LARGE


async def test_what_never_goes_on_is_given_up(session: Session, tmp_path: Path) -> None:
    target = tmp_path / "f"
    file = FakeFile(content=LARGE, cuts=[600_000, *[0] * 50])
    async with file.server() as server:
        for _ in range(IDLE_RUNS):
            assert file.asked == [] or kept(target) is not None
            with pytest.raises(LinkError):
                await download(session, server.origin, target, memo=MEMO, is_packable=False)
        assert kept(target) is not None
        with pytest.raises(LinkError):
            await download(session, server.origin, target, memo=MEMO, is_packable=False)

    assert kept(target) is None


async def test_a_damaged_note_is_no_note(session: Session, tmp_path: Path) -> None:
    target = tmp_path / "f"
    (tmp_path / "f.part").write_bytes(b"old")
    for text in ("", "[]", "{", '{"url":1}'):
        (tmp_path / "f.part.json").write_text(text)
        async with FakeFile(content=TEXT).server() as server:
            await download(session, server.origin, target, memo=MEMO)
        assert target.read_bytes() == TEXT


CHILD = """
import asyncio, os, sys
from pathlib import Path
from engine import faults
from engine.service.download import download
from engine.service.session import Session
left = int(sys.argv[3])
def strike(name):
    global left
    left -= name == "part.written"
    if left == 0 and name == "part.written":
        os._exit(75)
async def main():
    async with Session() as session:
        await download(session, sys.argv[1], Path(sys.argv[2]), memo={}, is_packable=False)
with faults.armed(strike):
    asyncio.run(main())
"""


@pytest.mark.parametrize("chunk", [1, 2, 3])
async def test_a_process_that_is_killed_loses_a_chunk_at_most(chunk: int, tmp_path: Path) -> None:
    target = tmp_path / "f"
    file = FakeFile(content=LARGE)
    async with file.server() as server:
        for left in (chunk, 99):
            command = [sys.executable, "-c", CHILD, server.origin, str(target), str(left)]
            done = await asyncio.to_thread(
                subprocess.run, command, cwd=ROOT, capture_output=True, check=False, timeout=60
            )
            assert done.returncode == (KILLED if left == chunk else 0), done.stderr

    assert target.read_bytes() == LARGE
    assert file.ranges[1] == (chunk - 1) * CHUNK_BYTES


# --- the disk, and refusals -----------------------------------------------------------------------


async def test_a_file_too_large_for_the_disk_is_not_begun(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.atomic._free_bytes", lambda where: 1000)
    async with FakeFile(content=LARGE).server() as server:
        with pytest.raises(StorageFullError, match="are needed on the disk"):
            await download(session, server.origin, tmp_path / "f", is_packable=False)

    assert files_in(tmp_path) == set()


async def test_a_file_that_is_gone_is_refused(session: Session, tmp_path: Path) -> None:
    async with HttpServer(answer("gone", status=404)) as server:
        with pytest.raises(ServiceRefusedError, match="404"):
            await download(session, server.origin, tmp_path / "f", memo=MEMO)

    assert files_in(tmp_path) == set()


async def test_a_body_whose_length_nobody_tells_comes_whole(
    session: Session, tmp_path: Path
) -> None:
    async with HttpServer(Cut(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + LARGE)) as server:
        assert await download(session, server.origin, tmp_path / "f") == len(LARGE)
