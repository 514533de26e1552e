"""The landing pages, seen by a visitor."""

from collections.abc import AsyncIterator

import pytest

from control_plane.database import Database
from control_plane.settings import Settings
from tests.control_plane.portal.site import Site, open_site


@pytest.fixture
async def site(settings: Settings, database: Database) -> AsyncIterator[Site]:
    async with open_site(settings, database) as opened:
        yield opened
