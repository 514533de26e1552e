"""Exports as downloads: streamed, named safely, kept by no cache."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from fastapi.responses import StreamingResponse

from control_plane.data_rights.export import safe_name


def download(content: AsyncIterator[bytes], *names: str) -> StreamingResponse:
    """A zip named after `names` and the day; names come from people, the header takes letters and digits of them."""
    stem = "-".join(safe_name(name) for name in names)
    headers = {
        "Content-Disposition": f'attachment; filename="{stem}-{datetime.now(UTC):%Y-%m-%d}.zip"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(content, media_type="application/zip", headers=headers)
