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

from device.doctor.check import Check, ill, well
from device.redaction import without_url_secrets

PATIENCE_S = 10.0
LARGEST_ANSWER = 4 * 1024 * 1024
TOKEN_WANTED = (498, 499)


def service(url: str, patience_s: float = PATIENCE_S) -> Iterator[Check]:
    """What is found on the way to the service; it ends at the first step that fails."""
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
        yield from _asked(connection, url, host, is_secure)
    finally:
        connection.close()


def _asked(connection: HTTPConnection, url: str, host: str, is_secure: bool) -> Iterator[Check]:
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        yield _certificate(host, error)
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
    yield _answered(without_url_secrets(url), answer, text)


def _certificate(host: str, error: ssl.SSLCertVerificationError) -> Check:
    why = error.verify_message or str(error)
    remedy = "Something else may answer in its place, as sign-in pages do: try another network"
    if "not yet valid" in why or "expired" in why:
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
