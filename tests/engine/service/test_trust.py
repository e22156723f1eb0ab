"""Whom we trust: all that the system does, with as little as possible of it in memory."""

import ssl
from pathlib import Path

import pytest

from engine.errors import UntrustedCertificateError
from engine.service.session import Session
from engine.service.trust import tls_context
from scripts.device_lab.trust import BUNDLE, trust
from tests.fakes.http_server import CERTIFICATES, HttpServer, json_answer

GOOD = json_answer({"ok": True})
OURS = CERTIFICATES / "lasting.pem"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system's certificates as Debian has them, with one of ours."""
    for name, value in trust(OURS, tmp_path / "certs").items():
        monkeypatch.setenv(name, value)
    return tmp_path / "certs"


async def is_trusted() -> bool:
    async with HttpServer(GOOD, certificate=OURS.name) as server, Session() as session:
        try:
            await session.get(server.origin)
        except UntrustedCertificateError:
            return False
        return True


async def test_a_folder_of_certificates_is_read_by_need(system: Path) -> None:
    assert not tls_context().get_ca_certs()
    assert await is_trusted()


async def test_a_certificate_that_was_taken_away_is_not_trusted(system: Path) -> None:
    (link,) = (link for link in system.glob("*.0") if link.resolve() == OURS)
    link.unlink()
    (system / BUNDLE).write_bytes(_without_ours(system))

    assert not tls_context().get_ca_certs()
    assert not await is_trusted()


async def test_a_file_that_has_more_than_the_folder_is_read(system: Path) -> None:
    (link,) = (link for link in system.glob("*.0") if link.resolve() == OURS)
    link.unlink()

    assert tls_context().get_ca_certs()
    assert await is_trusted()


async def test_a_file_that_lies_elsewhere_is_read(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(OURS))
    monkeypatch.setenv("SSL_CERT_DIR", str(system.parent))

    assert len(tls_context().get_ca_certs()) == 1
    assert await is_trusted()


def test_nothing_else_differs_from_the_default(system: Path) -> None:
    ours, default = tls_context(), ssl.create_default_context()
    for name in ("check_hostname", "verify_mode", "verify_flags", "options", "minimum_version"):
        assert getattr(ours, name) == getattr(default, name)


def _without_ours(system: Path) -> bytes:
    return (system / BUNDLE).read_bytes().removesuffix(OURS.read_bytes())
