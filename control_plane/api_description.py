"""The JSON API's description (`/openapi.json`): what every route may answer beside its success, said in one place."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from control_plane.permissions import Opens, Rule, find_rule

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong, in plain words, with what to do (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "stable identifier", "examples": ["/problems/client-not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "request_id": {"type": "string"},
    },
}
# Those that are no problem documents of this API's own making.
_REPLACED = ("HTTPValidationError", "ValidationError")


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The description, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in _REPLACED:
            schemas.pop(name, None)
        schemas["Problem"] = PROBLEM
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _complete(operation, find_rule(method.upper(), path))
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: dict[str, Any], rule: Rule) -> None:
    if rule.opens is not Opens.ROLE:
        # What opens it is in the address, or it is open to anybody.
        operation.pop("security", None)
    responses = operation["responses"]
    responses.pop("422", None)
    for status in _problems(operation, rule):
        responses.setdefault(str(int(status)), _describe(status))


def _problems(operation: dict[str, Any], rule: Rule) -> list[HTTPStatus]:
    found = [HTTPStatus.SERVICE_UNAVAILABLE]
    if rule.opens is Opens.ANYBODY and rule.method == "GET":
        return found
    if rule.opens is not Opens.LANDING_LINK:
        found += [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN]
    if "{" in rule.path:
        found.append(HTTPStatus.NOT_FOUND)
    if rule.method != "GET":
        found += [HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS]
        # The client's process was asked, and could not do it.
        found += [HTTPStatus.BAD_GATEWAY] if "{" in rule.path else []
    elif operation.get("parameters"):
        found.append(HTTPStatus.UNPROCESSABLE_ENTITY)
    if "requestBody" in operation:
        found += [HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
    return found


def _describe(status: HTTPStatus) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": status.phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        retry = {"description": "seconds to wait before the next try", "schema": {"type": "string"}}
        response["headers"] = {"Retry-After": retry}
    return response
