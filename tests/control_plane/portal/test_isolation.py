"""What the portal says of the walls around runners."""

import pytest

from control_plane.runners.launchers.isolation import Level
from control_plane.runners.models import Isolation
from control_plane.runners.repository import set_isolation
from tests.control_plane.portal.site import Site

REASON = "bwrap: No permissions to create new namespace"


@pytest.mark.parametrize(
    ("isolation", "words"),
    [
        (Isolation(level=Level.NONE, reason=REASON), "no están aislados entre sí"),
        (Isolation(level=Level.BUBBLEWRAP, reason=REASON), "comparten una cuenta del sistema"),
        (Isolation(level=Level.NONE, is_enough=False, reason=REASON), "Ningún asistente arranca"),
    ],
)
async def test_weak_walls_are_a_warning_with_what_to_do(portal: Site, isolation: Isolation, words: str) -> None:
    await set_isolation(isolation, database=portal.database)
    for path in ("/admin", "/admin/fragment"):
        page = (await portal.get(path)).text
        assert words in page
        assert "docs/isolation.md" in page
        assert REASON in page


@pytest.mark.parametrize("level", [Level.ACCOUNT, Level.BUBBLEWRAP])
async def test_the_strongest_walls_are_no_news(portal: Site, level: Level) -> None:
    await set_isolation(Isolation(level=level), database=portal.database)
    page = (await portal.get("/admin")).text
    assert "data-isolation" not in page
    assert "data-unlimited" not in page


async def test_memory_without_a_hard_limit_is_told_and_is_no_alarm(portal: Site) -> None:
    reason = "this process may give memory limits to nobody"
    await set_isolation(Isolation(level=Level.ACCOUNT, unlimited_reason=reason), database=portal.database)
    page = (await portal.get("/admin")).text
    assert "data-isolation" not in page
    assert "no tiene límite fijo" in page
    assert reason in page
    assert 'role="alert"' not in page


async def test_before_the_scheduler_said_anything_there_is_no_warning(portal: Site) -> None:
    assert "data-isolation" not in (await portal.get("/admin")).text
