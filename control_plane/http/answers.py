"""How a problem is told: to programs as problem+json, to people as a page."""

from typing import Any

from fastapi import Request, Response

from control_plane.audit.act import current_act
from control_plane.errors import Problem, problem_response
from control_plane.web import render_error

# Everything else is a page.
API_PATHS = ("/api/", "/internal/", "/health", "/openapi.json")


def answer(request: Request, problem: Problem, **more: Any) -> Response:
    """The answer to a request that met a problem.

    Args:
        more: further members of the problem document.
    """
    current_act().failed(problem)
    if request.url.path.startswith(API_PATHS):
        return problem_response(
            problem.status,
            type=problem.type,
            title=problem.title,
            detail=problem.detail,
            headers=problem.headers,
            **more,
        )
    response = render_error(request, problem.status, problem.title, problem.detail)
    response.headers.update(problem.headers)
    return response
