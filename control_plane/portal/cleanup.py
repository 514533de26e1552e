"""The record of cleanups, and the button that asks for one."""

from typing import Any

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse

from control_plane.dependencies import CleanupRunsDep
from control_plane.portal.page import portal_router, render_part, show
from control_plane.portal.texts import CLEANUP_CAUSES, CLEANUP_COLUMNS, CLEANUP_STATES
from control_plane.portal.views import cleanup_state
from control_plane.retention import service
from control_plane.retention.models import RunState
from control_plane.retention.repository import CleanupRuns
from control_plane.web import check_form, redirect

router = portal_router()


async def _load(runs: CleanupRuns) -> dict[str, Any]:
    last = await runs.list()
    return {
        "runs": last,
        "busy": any(run.state in (RunState.REQUESTED, RunState.RUNNING) for run in last),
        "columns": CLEANUP_COLUMNS,
        "causes": CLEANUP_CAUSES,
        "states": CLEANUP_STATES,
        "find_state": cleanup_state,
    }


@router.get("/cleanup")
async def show_cleanups(request: Request, runs: CleanupRunsDep) -> Response:
    """The last cleanups with what they deleted."""
    return show(request, "cleanup.html", await _load(runs), here="cleanup")


@router.get("/cleanup/fragment")
async def show_fragment(request: Request, runs: CleanupRunsDep) -> Response:
    """The list alone."""
    html = render_part(request, "cleanup_live.html", await _load(runs))
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


@router.post("/cleanup/force", dependencies=[Depends(check_form)])
async def force_cleanup(request: Request, runs: CleanupRunsDep) -> Response:
    """Ask for a cleanup now; the scheduler does it."""
    await service.force(runs=runs)
    return redirect(request, "/admin/cleanup", "cleanup-asked")
