"""The OpenAPI document (OpenAPI Specification 3.1.0), made from the table of routes."""

import re

from device.api.answers import Problem
from device.api.json_form import Json, schema
from device.api.routes import ROUTES, Answer, Parameter, Route

PROBLEM = "application/problem+json"
ALWAYS = {
    400: "The request was not understood.",
    431: "The headers are too large.",
    500: "A fault of the daemon.",
    503: "The daemon is busy or stopping.",
}
WHEN_IT_CHANGES = {
    403: "The caller may only read.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "The body is encoded in a way that is not read.",
}
OBJECT: Json = {"type": "object"}


def document(version: str) -> Json:
    """The description of the whole socket."""
    known: dict[str, Json] = {}
    problem = schema(Problem, known)
    paths: dict[str, Json] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known, problem)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fieldsync",
            "version": version,
            "description": "The socket of the fieldsync daemon; docs/socket.md says how to use it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": dict(sorted(known.items()))},
    }


def refusals(route: Route) -> dict[int, str]:
    """HTTP status → when, of all problems that the route may answer with."""
    more = WHEN_IT_CHANGES if route.changes else {}
    told = ALWAYS | more | dict(route.refusals)
    return {status: text for status, text in sorted(told.items()) if status not in route.answers}


def _operation(route: Route, known: dict[str, Json], problem: Json) -> Json:
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route.path)]
    parameters += [_query_parameter(one) for one in route.query]
    answers: dict[str, Json] = {
        str(status): _answer(route, status, answer, known)
        for status, answer in route.answers.items()
    }
    for status, text in refusals(route).items():
        answers[str(status)] = {
            "description": text,
            "content": {PROBLEM: {"schema": problem}},
        }
    told: Json = {
        "operationId": route.operation,
        "summary": route.summary,
        "parameters": parameters,
        "responses": answers,
    }
    if route.body is not None:
        body = schema(route.body, known, is_request=True)
        told["requestBody"] = {
            "required": route.needs_body,
            "content": {"application/json": {"schema": body}},
        }
    return told


def _answer(route: Route, status: int, answer: Answer, known: dict[str, Json]) -> Json:
    is_json = answer.media_type == "application/json"
    form: Json = {"type": "string"} if not is_json else OBJECT
    if answer.kind is not None:
        form = schema(answer.kind, known)
    told: Json = {
        "description": answer.text or route.summary,
        "content": {answer.media_type: {"schema": form}},
    }
    if status == 202:
        told["headers"] = {
            "Location": {"description": "The job's path.", "schema": {"type": "string"}}
        }
    return told


def _path_parameter(name: str) -> Json:
    said = {"map": "The map's name in the configuration.", "job": "The job's id."}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": said[name],
        "schema": {"type": "string", "minLength": 1},
    }


def _query_parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.text,
        "schema": parameter.schema,
    }
