"""The portal with an admin at the door."""

from collections.abc import AsyncIterator, Callable

import pytest

from control_plane.database import Database
from control_plane.settings import Environment, Settings
from tests.control_plane.portal.site import Site, open_site, provider, serve

BANNER = "Nothing here is real <really>"


@pytest.fixture
async def site(settings: Settings, database: Database, free_port: Callable[[], int]) -> AsyncIterator[Site]:
    """Its first environment has a provider that answers."""
    port = free_port()
    trial = Environment(
        name="trial",
        label="Trial",
        openai_base_url=f"http://127.0.0.1:{port}/v1",
        banner=BANNER,
        links={"Phone": "http://localhost:1/phone"},
    )
    settings = Settings(**{**settings.model_dump(exclude={"all_environments"}), "environments": (trial,)})
    async with serve(provider(), port), open_site(settings, database) as opened:
        yield opened


@pytest.fixture
async def portal(site: Site) -> Site:
    """Logged in."""
    await site.enter()
    return site
