"""Every way to make a request, for tests that try them all."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from engine.service.download import download as fetch
from engine.service.session import Session

Call = Callable[[Session, str, Path], Awaitable[object]]


async def get(session: Session, url: str, folder: Path) -> object:
    return await session.get(url)


async def post(session: Session, url: str, folder: Path) -> object:
    return await session.post(url, {"a": "1"})


async def post_again(session: Session, url: str, folder: Path) -> object:
    return await session.post(url, {"a": "1"}, repeatable=True)


async def post_file(session: Session, url: str, folder: Path) -> object:
    edits = folder / "edits"
    edits.write_bytes(b"[]")
    return await session.post_file(url, {"a": "1"}, "edits", edits)


async def post_to_file(session: Session, url: str, folder: Path) -> object:
    await session.post_to_file(url, {"a": "1"}, folder / "answer")
    return None


async def post_to_file_again(session: Session, url: str, folder: Path) -> object:
    await session.post_to_file(url, {"a": "1"}, folder / "answer", repeatable=True)
    return None


async def download(session: Session, url: str, folder: Path) -> object:
    return await fetch(session, url, folder / "answer")
