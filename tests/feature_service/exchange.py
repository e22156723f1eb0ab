"""How the outcome of createReplica and synchronizeReplica reaches the client."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import jobs, result_file
from .hosted import Hosted
from .parameters import Parameters
from .problem import ServiceError, not_supported

URL = "esriTransportTypeUrl"
EMBEDDED = "esriTransportTypeEmbedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client wants to know and where this service is for it."""

    parameters: Parameters
    service_url: str
    files_url: str

    @property
    def is_async(self) -> bool:
        return self.parameters.flag("async")

    @property
    def transport(self) -> str:
        chosen = self.parameters.word("transportType", (URL, EMBEDDED), URL)
        return URL if self.is_async else chosen

    @property
    def attachments_by_url(self) -> bool:
        """Whether attachments come as urls; clients write the parameter's name in two ways."""
        for name in ("returnAttachmentDataByUrl", "returnAttachmentsDataByUrl"):
            if self.parameters.has(name):
                return self.parameters.flag(name)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an operation has come to; `file` is None when there is nothing to fetch."""

    response_type: str
    head: dict[str, Any]
    generations: dict[str, Any]
    file: str | None
    has_errors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An answer: a document, or a file that is removed once it is sent."""

    document: Any = None
    file: Path | None = None


def check_async(hosted: Hosted, asked: Asked) -> None:
    """Refuse async=true where the service does not offer it."""
    if asked.is_async and not hosted.profile.supports_async:
        raise not_supported()


def check_json(asked: Asked, member: str = "dataFormat") -> None:
    """Refuse every format of data and edits but JSON."""
    if asked.parameters.word(member, ("json", "sqlite", "pbf"), "json") != "json":
        raise not_supported(f"{member}={asked.parameters.text(member)}: only json is served")


def deliver(hosted: Hosted, asked: Asked, operation: str, outcome: Outcome) -> Delivery:
    """The answer to a finished operation."""
    envelope = _envelope(hosted, asked, outcome)
    if asked.is_async:
        return _submit(hosted, asked, operation, outcome, envelope)
    if outcome.file is None:
        return Delivery(document=envelope)
    if asked.transport == EMBEDDED:
        return Delivery(file=result_file.path_of(hosted, outcome.file))
    envelope[hosted.profile.result_member] = f"{asked.files_url}/{outcome.file}"
    return Delivery(document=envelope)


def deliver_job(hosted: Hosted, asked: Asked, operation: str, outcome: Outcome) -> Delivery:
    """The answer to an operation that is a job whether the client asks for one or not."""
    return _submit(hosted, asked, operation, outcome, _envelope(hosted, asked, outcome))


def _envelope(hosted: Hosted, asked: Asked, outcome: Outcome) -> dict[str, Any]:
    with_generations = hosted.profile.generations_in != "file" or outcome.file is None
    return {
        **outcome.head,
        "transportType": "esriTransportTypeURL" if asked.transport == URL else EMBEDDED,
        "responseType": outcome.response_type,
        **(outcome.generations if with_generations else {}),
    }


def _submit(
    hosted: Hosted, asked: Asked, operation: str, outcome: Outcome, envelope: dict[str, Any]
) -> Delivery:
    status = "CompletedWithErrors" if outcome.has_errors else "Completed"
    job = jobs.submit(hosted, operation, {**envelope, "status": status}, outcome.file)
    return Delivery(document={"statusUrl": f"{asked.service_url}/jobs/{job}"})


def deliver_failure(hosted: Hosted, asked: Asked, operation: str, error: ServiceError) -> Delivery:
    """The answer to an operation that could not be done: at once, or as a failed job."""
    if not asked.is_async:
        raise error
    document = {
        "transportType": "esriTransportTypeURL",
        "status": "Failed",
        "error": error.document()["error"],
    }
    job = jobs.submit(hosted, operation, document, None)
    return Delivery(document={"statusUrl": f"{asked.service_url}/jobs/{job}"})
