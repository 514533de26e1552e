"""Every route of the web process, each behind the same two checks."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from control_plane import health
from control_plane.accounts.routes import router as accounts_router
from control_plane.audit.routes import router as audit_router
from control_plane.clients.routes import router as clients_router
from control_plane.data_rights.routes import router as data_rights_router
from control_plane.dependencies import authorize
from control_plane.http.rates import limit_account
from control_plane.internal.routes import router as internal_router
from control_plane.landing.api import router as landing_api_router
from control_plane.landing.routes import router as landing_router
from control_plane.portal.api_docs import router as api_docs_router
from control_plane.portal.routes import router as portal_router
from control_plane.retention.routes import router as retention_router

# One for all applications of a process: what a route depends on is worked out once.
router = APIRouter(dependencies=[Depends(authorize), Depends(limit_account)])
for _part in (
    accounts_router,
    clients_router,
    retention_router,
    data_rights_router,
    audit_router,
    landing_api_router,
    internal_router,
    portal_router,
    api_docs_router,
    landing_router,
    health.router,
):
    router.include_router(_part)


@router.get("/", include_in_schema=False)
async def show_front_door() -> Response:
    """The address without a path leads to the portal."""
    return RedirectResponse("/admin", HTTPStatus.SEE_OTHER)
