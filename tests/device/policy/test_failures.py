"""What an error says about trying again."""

import errno
import sqlite3
from collections.abc import Iterator

import pytest

from device.model import FailureClass
from device.policy.failures import classify, retry_after
from engine import errors
from engine.errors import EngineError

EXPECTED = {
    "link": FailureClass.LINK,
    "captive-portal": FailureClass.PORTAL,
    "untrusted-certificate": FailureClass.PORTAL,
    "certificate-date": FailureClass.CLOCK,
    "service": FailureClass.SERVER,
    "service-busy": FailureClass.SERVER,
    "service-refused": FailureClass.SERVER,
    "protocol": FailureClass.SERVER,
    "web-page": FailureClass.SERVER,
    "not-a-feature-service": FailureClass.SERVER,
    "sync-not-enabled": FailureClass.SERVER,
    "replica-not-found": FailureClass.SERVER,
    "full-download-required": FailureClass.SERVER,
    "schema-changed": FailureClass.SERVER,
    "authentication": FailureClass.AUTHENTICATION,
    "permission-denied": FailureClass.AUTHENTICATION,
    "credentials": FailureClass.AUTHENTICATION,
}

BUSY = ("sync-in-progress", "geodatabase-busy")


def kinds(base: type[EngineError] = EngineError) -> Iterator[type[EngineError]]:
    if base.__module__ == errors.__name__:
        yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def test_every_error_of_the_service_has_its_class_and_the_others_are_the_devices_own() -> None:
    found = {kind.code: classify(kind("what"), is_clock_trusted=False) for kind in set(kinds())}

    services = {kind.code for kind in kinds(errors.ServiceError)} | {"credentials"}
    assert services == set(EXPECTED)
    assert {code: found[code] for code in EXPECTED} == EXPECTED
    assert {code: found[code] for code in BUSY} == dict.fromkeys(BUSY, FailureClass.BUSY)
    assert {found[code] for code in set(found) - {*EXPECTED, *BUSY}} == {FailureClass.LOCAL}


def test_a_certificate_out_of_date_is_the_services_fault_once_the_time_is_known() -> None:
    error = errors.CertificateDateError("expired")

    assert classify(error, is_clock_trusted=False) is FailureClass.CLOCK
    assert classify(error, is_clock_trusted=True) is FailureClass.SERVER


def test_a_web_page_that_nobody_vouches_for_is_a_portal() -> None:
    verified = errors.WebPageError("page", is_verified=True)
    anybodys = errors.WebPageError("page", is_verified=False)

    assert classify(verified, is_clock_trusted=True) is FailureClass.SERVER
    assert classify(anybodys, is_clock_trusted=True) is FailureClass.PORTAL


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_what_caused_an_error_may_tell_more() -> None:
    page = errors.WebPageError("page", is_verified=False)
    wrapped = caused(errors.NotAFeatureServiceError("no service"), page)
    own = caused(errors.GeodatabaseError("broken"), errors.CaptivePortalError("portal"))

    assert classify(wrapped, is_clock_trusted=True) is FailureClass.PORTAL
    assert classify(own, is_clock_trusted=True) is FailureClass.LOCAL


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENETUNREACH, "no network"), FailureClass.LINK),
        (ConnectionResetError(errno.ECONNRESET, "reset"), FailureClass.LINK),
        (TimeoutError(), FailureClass.LINK),
        (OSError(errno.ENOSPC, "full"), FailureClass.LOCAL),
        (OSError(errno.EROFS, "read-only"), FailureClass.LOCAL),
        (OSError(errno.EIO, "broken"), FailureClass.LOCAL),
        (FileNotFoundError(errno.ENOENT, "gone", "map.json"), FailureClass.LOCAL),
        (sqlite3.OperationalError("disk I/O error"), FailureClass.LOCAL),
        (ValueError("a mistake of ours"), FailureClass.LOCAL),
    ],
)
def test_errors_of_the_system_are_told_apart(error: Exception, expected: FailureClass) -> None:
    assert classify(error, is_clock_trusted=True) is expected


def test_how_long_a_service_wants_to_be_left_alone_is_found() -> None:
    busy = errors.ServiceBusyError("busy", retry_after_s=90.0)

    assert retry_after(busy) == (90.0, "")
    assert retry_after(caused(errors.ServiceError("failed"), busy)) == (90.0, "")
    assert retry_after(errors.ServiceBusyError("busy")) is None
    assert retry_after(ValueError()) is None


def test_who_wants_to_be_left_alone_is_found() -> None:
    busy = errors.ServiceBusyError("busy", retry_after_s=90.0, host="portal.example.org")

    assert retry_after(busy) == (90.0, "portal.example.org")


def test_errors_that_caused_one_another_come_to_an_end() -> None:
    one, other = errors.LinkError("one"), errors.LinkError("other")
    one.__cause__, other.__cause__ = other, one

    assert classify(one, is_clock_trusted=True) is FailureClass.LINK
