import re

from control_plane.settings import REPOSITORY


def test_what_the_docs_page_needs_is_ours() -> None:
    page = (REPOSITORY / "templates" / "api_docs.html").read_text()
    assert "://" not in page
    for name in re.findall(r"asset\('([^']+)'\)", page):
        assert (REPOSITORY / "static" / name).is_file(), name
