"""Every error the engine raises: what happened, where, and what to do about it.

One tree. Each class has a stable ``code`` (for programs and documents), an ``exit_code`` (for the
command line) and a ``remedy`` (for a person). Whether to try again is a class, not a string:
only :class:`TransientError` is ever retried.
"""

import json
from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the ``fieldsync`` command, the same for every verb."""

    OK = 0
    ERROR = 1
    USAGE = 2
    DAEMON_NOT_RUNNING = 3
    NO_PERMISSION = 4
    NO_LINK = 5
    CONFLICTS = 6
    QUARANTINE = 7
    TEMPORARY = 75
    INTERRUPTED = 130


class EngineError(Exception):
    """Base of all errors: ``message`` says what and where, ``remedy`` what to do."""

    code = "error"
    exit_code = ExitCode.ERROR
    default_remedy = ""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = self.default_remedy if remedy is None else remedy

    def __str__(self) -> str:
        """One line: the message and, if there is one, the remedy."""
        end = "" if self.message.endswith(("?", "!")) else "."
        text = f"{self.message.rstrip('.')}{end} {self.remedy}" if self.remedy else self.message
        return " ".join(text.split())

    def to_json(self) -> dict[str, object]:
        """The error as an object of plain values, for ``--json`` and journals."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class TransientError(EngineError):
    """Trying the same thing again later may succeed; nothing was decided against us."""

    code = "temporary"
    exit_code = ExitCode.TEMPORARY
    default_remedy = "Try again later"


class BadParameterError(EngineError, ValueError):
    """A value given by the caller cannot be used."""

    code = "bad-parameter"
    exit_code = ExitCode.USAGE


# --- the service ------------------------------------------------------------------------------


class ServiceError(EngineError):
    """The feature service, or the way to it, is the trouble."""

    code = "service"


class LinkError(ServiceError, TransientError):
    """No connection to the service, or it broke before the answer was complete."""

    code = "link"
    exit_code = ExitCode.NO_LINK
    default_remedy = "Check the network link and the URL; nothing is lost, sync again later"


class UntrustedCertificateError(LinkError):
    """Nobody vouches for the server that answered: perhaps it is not the service at all."""

    code = "untrusted-certificate"
    default_remedy = (
        "If the network wants a sign-in, sign in; else check the certificate of the server"
    )


class CertificateDateError(UntrustedCertificateError):
    """The server's certificate is not valid at the time that this device has."""

    code = "certificate-date"
    default_remedy = "Check the date of this device, and the certificate of the server"


class CaptivePortalError(LinkError):
    """The network answered in the service's place, as it does where it wants a sign-in first."""

    code = "captive-portal"
    default_remedy = (
        "Sign in to the network, or use another one; nothing is lost. If it is the service that "
        "has moved, give its new URL, for a map with `fieldsync relocate`"
    )


class ServiceBusyError(ServiceError, TransientError):
    """The service is overloaded or restarting (HTTP 429, 500, 502, 503, 504).

    ``retry_after_s``: how long ``host`` (name, and the port if the URL has one) asks to be left
    alone; that may be another server than the service's, as one that signs in.
    """

    code = "service-busy"

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        retry_after_s: float | None = None,
        host: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s
        self.host = host


class NotAFeatureServiceError(ServiceError):
    """The URL answers, but not as an ArcGIS feature service does."""

    code = "not-a-feature-service"
    default_remedy = "Give the URL of a feature service; it ends in /FeatureServer"


class SyncNotEnabledError(ServiceError):
    """The service has no Sync capability, or not the one that is needed."""

    code = "sync-not-enabled"
    default_remedy = "Ask the owner of the service to enable Sync in its settings"


class ProtocolError(ServiceError):
    """The service gave an answer that does not follow the feature service specification."""

    code = "protocol"
    default_remedy = "The service may be damaged or of an unsupported version; nothing was changed"


class WebPageError(ProtocolError):
    """A web page came where JSON was expected.

    ``is_verified``: over TLS, so from the service's own host; else anybody may have sent it.
    """

    code = "web-page"

    def __init__(
        self, message: str, *, is_verified: bool = True, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.is_verified = is_verified


class ServiceRefusedError(ServiceError):
    """The service answered the request with an error of its own."""

    code = "service-refused"

    def __init__(
        self,
        message: str,
        *,
        service_code: int | None = None,
        extended_code: int | None = None,
        details: tuple[str, ...] = (),
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.service_code = service_code
        self.extended_code = extended_code
        self.details = details

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "service_code": self.service_code,
            "extended_code": self.extended_code,
            "details": list(self.details),
        }


class AuthenticationError(ServiceRefusedError):
    """The service wants a (valid) token: ArcGIS error 498 or 499."""

    code = "authentication"
    exit_code = ExitCode.NO_PERMISSION
    default_remedy = "Give valid credentials for this service"


class PermissionDeniedError(ServiceRefusedError):
    """The credentials are valid, but this user may not do that: ArcGIS error 403."""

    code = "permission-denied"
    exit_code = ExitCode.NO_PERMISSION
    default_remedy = "Ask the owner of the service for access"


class CredentialsError(EngineError):
    """The credentials that were given cannot be used; nobody was asked about them."""

    code = "credentials"
    exit_code = ExitCode.NO_PERMISSION
    default_remedy = "Correct the credentials"


class ReplicaNotFoundError(ServiceRefusedError):
    """The service no longer knows this geodatabase's replica."""

    code = "replica-not-found"
    default_remedy = "Sync again: the geodatabase gets a new replica"


class FullDownloadRequired(ServiceError):
    """The service cannot tell what has changed; all rows must be fetched, which was not allowed."""

    code = "full-download-required"
    default_remedy = "Sync over a good link and allow the full download; edits were sent"


class SchemaChangedError(ServiceError):
    """A layer was changed on the service so that its table here cannot follow."""

    code = "schema-changed"
    default_remedy = (
        "Its unsent edits are kept, and the other layers go on. Undo the change on the service, or "
        "take the map again with its edits: fieldsync repair MAP --again"
    )


# --- the geodatabase ---------------------------------------------------------------------------


class GeodatabaseError(EngineError):
    """A geodatabase (GeoPackage) on this device is the trouble."""

    code = "geodatabase"


class GeodatabaseBusyError(GeodatabaseError, TransientError):
    """Another program holds the write lock of the file longer than we wait."""

    code = "geodatabase-busy"
    default_remedy = "Close the program that is writing to the file, then try again"


class NotAGeodatabaseError(GeodatabaseError):
    """The file is no GeoPackage, or not one that fieldsync made."""

    code = "not-a-geodatabase"
    default_remedy = "Give the folder of a map that was taken with fieldsync"


class GeodatabaseDamagedError(GeodatabaseError):
    """The file is damaged: SQLite found a page in it that is not what it should be."""

    code = "geodatabase-damaged"
    default_remedy = "Repair the map: fieldsync repair MAP. It keeps the file and what can be read"


class GeodatabaseVersionError(GeodatabaseError):
    """The file was written by a newer fieldsync than this one."""

    code = "geodatabase-version"
    default_remedy = "Install the newer fieldsync"


class TransactionOpenError(GeodatabaseError):
    """The caller's own transaction is still open, so this cannot run."""

    code = "transaction-open"
    default_remedy = "Commit or roll back the transaction first"


class TransactionNotStartedError(GeodatabaseError):
    """There is no transaction to commit or roll back."""

    code = "transaction-not-started"


class ChangeLogBrokenError(GeodatabaseError):
    """A program removed or altered a layer's change-log triggers, so edits may be unlogged."""

    code = "change-log-broken"
    default_remedy = "Compare the layer with its service: fieldsync repair MAP. It deletes nothing"


class EditRefusedError(GeodatabaseError, ValueError):
    """The edit cannot be stored: wrong type, unknown field, operation not allowed by the layer."""

    code = "edit-refused"


class FeatureNotFoundError(GeodatabaseError, LookupError):
    """There is no feature, attachment or layer of that identity."""

    code = "not-found"


# --- delta files ---------------------------------------------------------------------------------


class DeltaError(EngineError):
    """A delta file is cut short, changed since it was written, or no delta file at all."""

    code = "delta"
    default_remedy = "Copy the file again from where it was made; nothing of it was applied"


class DeltaMismatchError(DeltaError):
    """A sound delta file that is not for this geodatabase, this service or this use."""

    code = "delta-mismatch"
    default_remedy = "Use it with the map that it was made for"


# --- maps, jobs and the device's own resources ---------------------------------------------------


class MapError(EngineError):
    """An offline map's folder is the trouble."""

    code = "map"


class MapExistsError(MapError):
    """The folder already holds a map (or anything else): never overwritten."""

    code = "map-exists"
    default_remedy = "Choose another folder, or unregister and remove the old map first"


class MapNotFoundError(MapError):
    """There is no offline map in that folder."""

    code = "map-not-found"
    exit_code = ExitCode.USAGE
    default_remedy = "Give the folder of a map that was taken with fieldsync"


class StorageFullError(EngineError):
    """The disk is full, or would be before the work is done."""

    code = "storage-full"
    default_remedy = "Free space on the device; nothing was changed"


class SyncInProgress(TransientError):
    """Another process is syncing this geodatabase now."""

    code = "sync-in-progress"
    default_remedy = "Wait for the running sync to finish"


class UploadRequired(EngineError):
    """Unsent edits would be lost; they must be uploaded first."""

    code = "upload-required"
    default_remedy = "Sync the map, or ask explicitly to give up the unsent edits"


class JobCancelledError(EngineError):
    """The job was cancelled on request."""

    code = "cancelled"
    exit_code = ExitCode.INTERRUPTED


class NotLoadedError(EngineError):
    """The object must be loaded first."""

    code = "not-loaded"
    default_remedy = "Call load() first"


def service_error(envelope: Mapping[str, object], where: str) -> ServiceRefusedError:
    """The error for an ArcGIS error object, whatever shape it has.

    ``envelope`` is the value of ``error`` (or a ``status: failure`` object); ``where`` names the
    request. ``code`` and ``details`` may be absent, ``details`` may be a string, ``message`` may
    be empty with all the text in ``details`` (ArcGIS REST API, "Handling errors").
    """
    number = _whole_number(envelope.get("code"))
    details = envelope.get("details") or ()
    if isinstance(details, str):
        details = (details,)
    texts = tuple(
        d if isinstance(d, str) else json.dumps(d)
        for d in (details if isinstance(details, list | tuple) else ())
        if d
    )
    message = str(envelope.get("message") or envelope.get("description") or "").strip()
    text = " ".join(dict.fromkeys(t for t in (message, *texts) if t)) or "no reason given"
    kind: type[ServiceRefusedError] = ServiceRefusedError
    if number in (498, 499):
        kind = AuthenticationError
    elif number == 403:
        kind = PermissionDeniedError
    label = "" if number is None else f" (error {number})"
    return kind(
        f"{where}: the service refused{label}: {text}",
        service_code=number,
        extended_code=_whole_number(envelope.get("extendedCode")),
        details=texts,
    )


def _whole_number(value: object) -> int | None:
    """None for anything else, ``NaN`` and ``Infinity`` (which JSON readers let through) too."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
