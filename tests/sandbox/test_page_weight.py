from pathlib import Path

from playwright.async_api import Playwright

from sandbox.servers import serve
from sandbox.settings import SandboxSettings
from sandbox.whatsapp_web.weight import make_scripts
from tests.sandbox.web_page import open_page


def test_a_page_carries_nothing_unless_told_to() -> None:
    assert list(make_scripts(0, 0)) == []


def test_the_script_is_as_large_as_asked_for() -> None:
    scripts = list(make_scripts(2.5, 0))
    assert len(scripts) == 3
    assert 2.5e6 <= sum(map(len, scripts)) < 2.51e6


async def test_a_page_with_weight_runs_it_keeps_it_and_shows_its_code(playwright: Playwright, tmp_path: Path) -> None:
    settings = SandboxSettings(
        data_directory=tmp_path, port=0, tls_port=0, smtp_port=0, page_script_mb=1, page_heap_mb=5
    )
    async with serve(settings) as whatsapp, open_page(playwright, whatsapp, tmp_path / "profile") as page:
        assert await page.qr()
        assert await page.ask("require('SandboxWeight0').table.list.length") == 4
        assert await page.ask("require('SandboxWeightHeap').records.length") == 5_000
