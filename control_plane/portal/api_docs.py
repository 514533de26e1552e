"""The JSON API's description, for people: Swagger UI on /openapi.json, from our own files."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from control_plane.web import render_page

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def show_docs(request: Request) -> HTMLResponse:
    """The page; it holds nothing that is not in the code."""
    return render_page(request, "api_docs.html")
