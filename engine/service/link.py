"""The way to a server: URLs that can be asked, redirects, and what becomes of a connection."""

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from engine.errors import (
    CertificateDateError,
    EngineError,
    LinkError,
    NotAFeatureServiceError,
    ProtocolError,
    UntrustedCertificateError,
)
from engine.service.answer import place

_DATE_CODES = frozenset({9, 10})  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED


def request_url(url: str, parameters: Mapping[str, str] | None = None) -> URL:
    """``url`` with ``parameters`` put into its query; :exc:`NotAFeatureServiceError` if it is none.

    Without parameters a URL stays as it is, byte for byte: signed ones are only good so.
    """
    try:
        is_plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}')
        parsed = URL(url, encoded=is_plain and not parameters)
        if parsed.scheme.casefold() in ("http", "https") and parsed.raw_host and parsed.port:
            return parsed.update_query(parameters) if parameters else parsed
    except ValueError:
        pass
    raise NotAFeatureServiceError(f"{place(url)} is not an http or https URL")


def redirect_target(answer: aiohttp.ClientResponse, url: URL) -> str:
    """Where the answer to ``url`` redirects to."""
    location = answer.headers.get("Location") or answer.headers.get("URI") or ""
    target = urljoin(str(url), location)
    if not location or urlsplit(target).scheme not in ("http", "https"):
        raise ProtocolError(f"{place(str(url))} redirects to nowhere")
    if url.scheme == "https" and urlsplit(target).scheme != "https":
        raise ProtocolError(f"{place(str(url))} redirects to {place(target)}, which is not safe")
    return target


def link_error(error: Exception, where: str) -> EngineError:
    """What became of a connection. The library's own texts may quote URLs with secrets in them."""
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):
        return NotAFeatureServiceError(f"{where} is not a URL")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refused = error.certificate_error
        is_date = getattr(refused, "verify_code", None) in _DATE_CODES
        kind = CertificateDateError if is_date else UntrustedCertificateError
        return kind(f"the certificate of {where} is not trusted: {refused}")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        return LinkError(f"cannot connect to {where}: {reason}")
    if isinstance(error, aiohttp.ClientResponseError):
        return ProtocolError(f"{where} answered with something that is not HTTP")
    if isinstance(error, aiohttp.ClientPayloadError):
        return LinkError(f"the answer of {where} was cut off")
    if isinstance(error, aiohttp.ClientOSError):
        return LinkError(f"the connection to {where} broke: {error.strerror or 'it was lost'}")
    return LinkError(f"{where} closed the connection without an answer")
