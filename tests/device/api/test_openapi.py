"""The OpenAPI document is valid, and the server does what it says: what it describes is taken, and
what it does not describe is refused."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from device.api.openapi import document
from device.api.routes import ROUTES
from engine import JobStatus
from tests.device.conftest import Taken
from tests.fakes.daemon import DaemonThread

schemathesis = pytest.importorskip("schemathesis")

ENDLESS = {"events", "job_events"}
"""Streams end when the caller does; test_streams.py has them."""
TOO_LARGE = (413, 431)
"""Whatever is asked for; no schema can say it."""
EXAMPLES, MORE_EXAMPLES = 5, 40
"""For each operation: in the quick tests, and in the slow ones."""


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (v for k, v in value.items() if k == "$ref")
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def descriptions(value: object) -> Iterator[str]:
    members = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    for member in members:
        yield from descriptions(member)
    if isinstance(value, dict) and isinstance(value.get("description"), str):
        yield value["description"]


def test_without_the_texts_of_the_source_the_description_is_poorer_but_right() -> None:
    """As the unit runs the daemon."""
    code = "import json; from device.api.openapi import document; print(json.dumps(document('1')))"
    done = subprocess.run(
        [sys.executable, "-OO", "-c", code], capture_output=True, check=True, timeout=60
    )

    told = list(descriptions(json.loads(done.stdout)))

    assert "Only those of this file." in told
    assert [text for text in told if "(*," in text or not text] == []


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    told = document("1")
    named = {reference.rpartition("/")[2] for reference in references(told)}
    schemas = told["components"]["schemas"]  # type: ignore[index]  # an object of objects

    assert named == set(schemas)


def test_every_route_says_what_it_does_and_what_it_answers() -> None:
    for route in ROUTES:
        assert route.summary.endswith(".")
        assert all(answer.text for answer in route.answers.values()), route
        assert route.changes == (route.method != "GET")


counts = pytest.mark.parametrize(
    "examples", [EXAMPLES, pytest.param(MORE_EXAMPLES, marks=pytest.mark.slow)]
)


@pytest.fixture
def daemon(taken: Taken) -> Iterator[DaemonThread]:
    with DaemonThread(None, {"park": taken.folder}) as running:
        yield running


@counts
def test_what_the_document_describes_is_taken_and_answered_as_it_says(
    daemon: DaemonThread, examples: int
) -> None:
    for operation in operations():
        if operation.definition.raw["operationId"] not in ENDLESS:
            cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
            check(daemon, cases, st.booleans(), examples)


@counts
def test_what_the_document_does_not_describe_is_refused(
    daemon: DaemonThread, examples: int
) -> None:
    takes_something = {route.operation for route in ROUTES if route.query or route.body}
    for operation in operations():
        if operation.definition.raw["operationId"] in takes_something:
            cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            check(daemon, cases, st.just(False), examples)


def operations() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(document("1"))
    return (found.ok() for found in schema.get_all_operations())


def check(
    daemon: DaemonThread,
    cases: st.SearchStrategy[Any],
    known_names: st.SearchStrategy[bool],
    examples: int,
) -> None:
    """Ask in each of these ways, and look at the answer with all checks there are."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, is_known=known_names)
    def run(case: Any, is_known: bool) -> None:
        if is_known:  # otherwise no name would ever be right
            known = {"map": "park", "job": "job-1"}
            case.path_parameters = {n: known[n] for n in case.path_parameters or {}}
        answer = case.call(base_url=daemon.url)
        if answer.status_code not in TOO_LARGE:
            case.validate_response(answer)

    daemon.do(lambda appliance: [appliance.move(j.id, JobStatus.FAILED) for j in appliance.jobs()])
    run()
