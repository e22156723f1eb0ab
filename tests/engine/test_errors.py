"""The error tree: stable codes, one line for a person, and only the transient is retried."""

import json
from collections.abc import Iterator

import pytest

from engine import errors
from engine.errors import (
    AuthenticationError,
    BadParameterError,
    EngineError,
    ExitCode,
    GeodatabaseBusyError,
    JobCancelledError,
    LinkError,
    PermissionDeniedError,
    ReplicaNotFoundError,
    ServiceBusyError,
    ServiceError,
    ServiceRefusedError,
    SyncInProgress,
    TransientError,
    service_error,
)


def tree(kind: type[EngineError] = EngineError) -> Iterator[type[EngineError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


ALL = sorted(set(tree()), key=lambda kind: kind.__name__)


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in ALL]

    assert len(set(codes)) == len(codes)
    assert all("code" in vars(kind) for kind in ALL)
    assert all(code == code.lower() and " " not in code for code in codes)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_class_makes_one_clear_line(kind: type[EngineError]) -> None:
    error = kind("the file\n  x is bad.", remedy="Mend it")

    assert str(error) == "the file x is bad. Mend it"
    assert kind.__name__.endswith(("Error", "Required")) or kind.__name__ == "SyncInProgress"
    assert kind.__doc__
    assert isinstance(kind.exit_code, ExitCode)
    assert kind.exit_code != ExitCode.OK


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_becomes_json(kind: type[EngineError]) -> None:
    value = json.loads(json.dumps(kind("what").to_json()))

    assert value["code"] == kind.code
    assert value["message"] == "what"
    assert value["remedy"] == kind.default_remedy


def test_a_remedy_of_its_own_replaces_the_default_even_when_empty() -> None:
    assert str(LinkError("gone")).startswith("gone. Check the network link")
    assert str(LinkError("gone", remedy="")) == "gone"
    assert str(LinkError("gone", remedy="Wait")) == "gone. Wait"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (LinkError("x"), True),
        (ServiceBusyError("x", retry_after_s=5), True),
        (GeodatabaseBusyError("x"), True),
        (SyncInProgress("x"), True),
        (ServiceError("x"), False),
        (AuthenticationError("x"), False),
        (ReplicaNotFoundError("x"), False),
        (JobCancelledError("x"), False),
    ],
)
def test_whether_to_try_again_is_a_class(error: EngineError, again: bool) -> None:
    assert isinstance(error, TransientError) == again


def test_errors_are_also_what_python_programs_expect() -> None:
    with pytest.raises(ValueError, match="not a number"):
        raise BadParameterError("not a number")


# --- the service's own errors: ArcGIS answers, in the shapes that are documented ------------------


def test_a_plain_error_object() -> None:
    error = service_error(
        {"code": 400, "message": "Unable to complete operation.", "details": ["Bad where."]},
        "query",
    )

    assert type(error) is ServiceRefusedError
    assert error.service_code == 400
    assert error.details == ("Bad where.",)
    assert error.message == (
        "query: the service refused (error 400): Unable to complete operation. Bad where."
    )


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (498, AuthenticationError),
        (499, AuthenticationError),
        (403, PermissionDeniedError),
        (400, ServiceRefusedError),
        (-2147220888, ServiceRefusedError),
    ],
)
def test_the_code_decides_the_class(code: int, kind: type[ServiceRefusedError]) -> None:
    assert type(service_error({"code": code, "message": "no"}, "x")) is kind


@pytest.mark.parametrize(
    ("envelope", "said"),
    [
        ({}, "no reason given"),
        ({"message": "", "details": []}, "no reason given"),
        ({"message": None, "details": None}, "no reason given"),
        ({"details": "only text"}, "only text"),
        ({"message": "", "details": ["in the details"]}, "in the details"),
        ({"message": "same", "details": ["same", "", None]}, "same"),
        ({"description": "a failure object"}, "a failure object"),
        ({"message": "x", "details": [{"reason": "odd"}]}, 'x {"reason": "odd"}'),
        ({"message": "x", "details": 7}, "x"),
    ],
)
def test_whatever_shape_it_has_it_says_something(envelope: dict[str, object], said: str) -> None:
    error = service_error(envelope, "here")

    assert error.message == f"here: the service refused: {said}"
    assert error.service_code is None


def test_codes_travel_in_the_json() -> None:
    value = service_error(
        {"code": 500, "extendedCode": -2147467259, "message": "x", "details": ["y"]}, "z"
    ).to_json()

    assert value["service_code"] == 500
    assert value["extended_code"] == -2147467259
    assert value["details"] == ["y"]


@pytest.mark.parametrize("code", ["400", None, [], float("nan"), float("inf"), True])
def test_a_code_that_is_no_number_is_left_out(code: object) -> None:
    error = service_error({"code": code, "extendedCode": code, "message": "x"}, "z")

    assert error.service_code is None
    json.dumps(error.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("it is gone", "it is gone. Look again"),
        ("it is gone.", "it is gone. Look again"),
        ("is 'device' meant?", "is 'device' meant? Look again"),
    ],
)
def test_message_and_remedy_are_two_sentences(message: str, line: str) -> None:
    assert str(EngineError(message, remedy="Look again")) == line
