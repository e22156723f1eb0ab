"""What the service answers when it cannot do what was asked."""

from typing import Any

ROLLED_BACK = -2147207418
"""The extended code ArcGIS prints when an edit made it undo the whole call."""


class DataError(Exception):
    """The data folder cannot be served; the message names the file and the member."""


class ServiceError(Exception):
    """A whole request refused; told in an HTTP 200 answer as `{"error": {...}}`."""

    def __init__(
        self,
        code: int,
        message: str,
        *details: str,
        extended_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = list(details)
        self.extended_code = extended_code

    def bare_document(self) -> dict[str, Any]:
        """The error envelope of servers that tell everything in the details."""
        told = ". ".join(part for part in (self.message, *self.details) if part)
        return {"error": {"code": self.code, "message": "", "details": told}}

    def document(self) -> dict[str, Any]:
        """The error envelope, as JSON."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.extended_code is not None:
            error["extendedCode"] = self.extended_code
        error["details"] = self.details
        return {"error": error}


class EditError(Exception):
    """One edit refused; its code is one of the documented feature service error codes.

    Source: ArcGIS REST API, "Feature service error codes".
    """

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


def invalid_parameter(name: str, why: str) -> ServiceError:
    """A parameter whose value cannot be understood."""
    return ServiceError(400, f"'{name}' parameter is invalid", why)


def not_supported(*why: str) -> ServiceError:
    """The operation exists, but this service does not offer it, or not in this way."""
    return ServiceError(400, "Requested operation is not supported by this service.", *why)


def invalid_url() -> ServiceError:
    """No resource or operation has this path."""
    return ServiceError(400, "Invalid URL", "Invalid URL")
