"""How the platform is: for a load balancer, the start program and the operator."""

import asyncio
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pymongo.errors import PyMongoError

from control_plane.database import Database
from control_plane.leases import SCHEDULER

DEADLINE_S = 8.0

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """How the platform is."""

    status: Literal["ok", "degraded"]
    database: Literal["ok", "unavailable"]
    scheduler: Literal["running", "not running", "unknown"]
    version: str


@router.get("/health", response_model=Health, responses={503: {"model": Health}}, summary="Whether the platform works")
async def show_health(request: Request) -> Response:
    """200 when the database answers, 503 when not; `scheduler` says whether its lease is alive."""
    database: Database = request.app.state.database
    try:
        async with asyncio.timeout(DEADLINE_S):
            lease = await database["leases"].find_one({"_id": SCHEDULER})
    except (PyMongoError, TimeoutError):
        return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "degraded", "unavailable", "unknown")
    if lease is None or lease["until"] <= datetime.now(UTC):
        return _answer(HTTPStatus.OK, "degraded", "ok", "not running")
    return _answer(HTTPStatus.OK, "ok", "ok", "running")


def _answer(code: HTTPStatus, status: str, database: str, scheduler: str) -> Response:
    body = {"status": status, "database": database, "scheduler": scheduler, "version": read_version()}
    return JSONResponse(body, code)


@cache
def read_version() -> str:
    """The product's."""
    try:
        return version("flame-assistant")
    except PackageNotFoundError:
        return "0.1.0"
