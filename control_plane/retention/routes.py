"""Cleanups over the JSON API."""

from http import HTTPStatus

from fastapi import APIRouter

from control_plane.dependencies import CleanupRunsDep
from control_plane.retention import service
from control_plane.retention.models import CleanupRun

router = APIRouter(prefix="/api/admin/cleanup", tags=["cleanup"])


@router.post("/force", status_code=HTTPStatus.ACCEPTED)
async def force_cleanup(runs: CleanupRunsDep) -> CleanupRun:
    """Ask for a cleanup now. Its record, at `/api/admin/cleanup/runs/{id}`, has the counts when it is done."""
    return await service.force(runs=runs)


@router.get("/runs")
async def list_runs(runs: CleanupRunsDep) -> list[CleanupRun]:
    """The last cleanups, newest first."""
    return await runs.list()


@router.get("/runs/{run_id}")
async def show_run(run_id: str, runs: CleanupRunsDep) -> CleanupRun:
    """One cleanup's record."""
    return await service.get_run(run_id, runs=runs)
