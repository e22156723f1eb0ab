"""The way to a feature service, step by step: name, connection, certificate, answer.

Only the standard library is used, so that it works where the rest may not. One question is sent,
``?f=json``, without credentials (ArcGIS REST API, "Feature Service").
"""

import json
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from device.doctor.board import CLOCK_REMEDY
from device.doctor.check import Check, ill, well
from device.policy.clock_trust import AGREEMENT_S
from device.redaction import without_url_secrets
from device.tables import duration
from engine import Clock, ServiceTime

PATIENCE_S = 10.0
LARGEST_ANSWER = 4 * 1024 * 1024
TOKEN_WANTED = (498, 499)
_NO_CHECK_TIME = 0x200000
"""Verify all but the dates (OpenSSL, X509_VERIFY_PARAM_set_flags(3))."""


def service(url: str, clock: Clock, patience_s: float = PATIENCE_S) -> Iterator[Check]:
    """What is found on the way to the service; it ends at the first step that fails. ``clock`` is
    compared with what the service says."""
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        yield ill(
            "name",
            f"{host}: {getattr(error, 'strerror', None) or error}",
            "Without a link that is so; with one look at its DNS server",
        )
        return
    yield well("name", f"{host} is {found[0][4][0]}")
    connection = (
        HTTPSConnection(host, port, timeout=patience_s, context=ssl.create_default_context())
        if is_secure
        else HTTPConnection(host, port, timeout=patience_s)
    )
    try:
        yield from _asked(connection, url, host, clock, is_secure)
    finally:
        connection.close()


def _asked(
    connection: HTTPConnection, url: str, host: str, clock: Clock, is_secure: bool
) -> Iterator[Check]:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        yield _certificate(host, error)
        if _is_out_of_date(error):
            yield from _time_of(connection, host, clock)
        return
    except OSError as error:
        reason = "it took too long" if isinstance(error, TimeoutError) else error.strerror or error
        yield ill(
            "connection",
            f"{host}: {reason}",
            "The service is down, or a firewall is in the way; ask who runs it",
        )
        return
    if is_secure:
        yield well("certificate", f"{host} is who it says")
    path = urlsplit(url).path.rstrip("/")
    try:
        connection.request("GET", f"{path}?f=json", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        text = answer.read(LARGEST_ANSWER)
    except (OSError, HTTPException) as error:
        yield ill(
            "service", f"{host} hung up: {error}", "Try again; if it stays so, ask who runs it"
        )
        return
    if is_secure:
        yield from _clock(answer, host, clock, "whose certificate holds")
    yield _answered(without_url_secrets(url), answer, text)


def _time_of(refused: HTTPConnection, host: str, clock: Clock) -> Iterator[Check]:
    """Ask a host whose certificate is out of date, and in order but for that, what time it is:
    for a person, who sees whether the clock or the certificate is wrong. Nothing is sent to it that
    is not public, and nothing follows from what it says."""
    context = ssl.create_default_context()
    context.verify_flags |= _NO_CHECK_TIME
    connection = HTTPSConnection(host, refused.port, timeout=refused.timeout, context=context)
    try:
        connection.request("HEAD", "/")
        answer = connection.getresponse()
        yield from _clock(answer, host, clock, "whose certificate is in order but for its date")
    except (OSError, HTTPException):
        return
    finally:
        connection.close()


def _clock(answer: HTTPResponse, host: str, clock: Clock, how: str) -> Iterator[Check]:
    """Whether this device and that host agree what time it is; nothing is said if so."""
    told = ServiceTime.of("https", dict(answer.headers), clock.monotonic())
    if told is None:
        return
    error_s = (clock.now() - told.moment).total_seconds()
    if abs(error_s) > AGREEMENT_S:
        way = "fast" if error_s > 0 else "slow"
        yield ill(
            "clock",
            f"{duration(abs(error_s))} {way}: it is {told.moment:%Y-%m-%d %H:%M} UTC by {host}, "
            f"{how}",
            CLOCK_REMEDY,
        )


def _is_out_of_date(error: ssl.SSLCertVerificationError) -> bool:
    """Or not valid yet (OpenSSL, X509_verify_cert_error_string(3))."""
    why = error.verify_message or str(error)
    return "not yet valid" in why or "expired" in why


def _certificate(host: str, error: ssl.SSLCertVerificationError) -> Check:
    why = error.verify_message or str(error)
    remedy = "Something else may answer in its place, as sign-in pages do: try another network"
    if _is_out_of_date(error):
        remedy = "Look at this device's clock first; if it is right, ask who runs the service"
    elif "self-signed" in why or "self signed" in why or "unable to get" in why:
        remedy = (
            "If it is your organisation's own authority, put its certificate into "
            "/usr/local/share/ca-certificates and run update-ca-certificates; if not, do not go on"
        )
    return ill("certificate", f"{host}: {why}", remedy)


def _answered(url: str, answer: HTTPResponse, text: bytes) -> Check:
    portal = "Something else answers in its place, as sign-in pages do: sign in, or another network"
    if answer.status in (401, 403):
        return well("service", f"{url} is there, and wants a sign-in")
    if 300 <= answer.status < 400:
        return ill("service", f"{url} leads elsewhere (HTTP {answer.status})", portal)
    if answer.status >= 500:
        return ill("service", f"{url}: HTTP {answer.status}", "Try again later, or ask who runs it")
    try:
        told = json.loads(text)
    except ValueError:
        return ill("service", f"{url} answers, but not as a feature service does", portal)
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, dict):
        if error.get("code") in TOKEN_WANTED:
            return well("service", f"{url} is there, and wants a sign-in")
        return ill(
            "service",
            f"{url} refuses: {error.get('message')} (error {error.get('code')})",
            "Ask who runs it; if it has moved: fieldsync relocate MAP URL",
        )
    if not isinstance(told, dict) or "layers" not in told:
        return ill("service", f"{url} answers, but not as a feature service does", portal)
    capabilities = str(told.get("capabilities", ""))
    if "Sync" not in capabilities.split(","):
        return ill("service", f"{url} has no Sync", "Ask its owner to enable Sync in its settings")
    return well("service", f"{url} answers")
