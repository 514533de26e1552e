import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from bench import report, results
from bench.charts import draw_bars, draw_lines
from bench.peers.run import count_rounds, is_alike
from bench.peers.tables import present
from bench.results import Chart, Table

PAGE = """# Figures
<!-- generated: peers -->
of yesterday
<!-- end: peers -->
kept
<!-- generated: new -->
<!-- end: new -->
"""


def make_run(system: str, clients: int, **changes: Any) -> dict[str, Any]:
    return {
        "system": system,
        "clients": clients,
        "round": 0,
        "error": None,
        "memory_mb": {"Chromium": 200.0, "Node": 50.0, "platform": 300.0},
        "talked_mb": {"Chromium": 220.0, "Node": 50.0, "platform": 300.0},
        "processes": {"Chromium": 5 * clients, "Node": clients},
        "idle_cpu_percent": {"Chromium": 0.5},
        "start_to_code": [2.0, 3.0, 4.0],
        "scan_to_working": [2.0],
        "restart_to_working": [5.0],
        "begin_to_working": [4.0],
        "latency": [0.1, 0.2],
        "latency_stolen_percent": 0.2,
        "messages_per_second": {"one": 10.0, "all": 20.0},
        "cpu_ms_per_message": 30.0,
        "unanswered": 0,
        "profile_mb": 17.0,
        "growth_kb_per_message": 1.5,
    } | changes


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(report, "CHARTS", tmp_path / "charts")
    (tmp_path / "benchmarks.md").write_text(PAGE)
    return tmp_path


def write(name: str, figures: dict[str, Any]) -> None:
    results.write_result(name, options={"clients": [1]}, figures=figures, versions={"Node": "20"})


def test_a_result_replaces_its_part_of_the_page_and_nothing_else(places: Path) -> None:
    write("peers", {"runs": [make_run("ours", 1), make_run("whatsapp-web.js", 1)]})
    assert report.main([]) == 0
    page = (places / "benchmarks.md").read_text()
    assert "of yesterday" not in page
    assert "\nkept\n" in page
    assert "| 1, the same browser |                  1.00 ✗ |" in page
    assert "*Not measured yet: `./scripts/bench new`.*" in page
    assert report.main([]) == 0
    assert (places / "benchmarks.md").read_text() == page


def test_a_result_without_a_presentation_of_its_own_shows_its_figures(places: Path) -> None:
    write("new", {"first": {"seconds": 1.5}, "all": [1, 2]})
    assert "| first · seconds |   1.5 |" in report.render("new")
    assert "| all             |  1, 2 |" in report.render("new")


def test_a_result_without_a_place_in_the_page_is_an_error(places: Path) -> None:
    write("elsewhere", {})
    assert report.main([]) == 1


def test_ratios_are_of_medians_and_what_failed_is_listed() -> None:
    runs = [
        make_run("ours", 20, latency=[0.3, 0.3]),
        make_run("ours, other browser", 20, start_to_code=[2.0]),
        make_run("whatsapp-web.js", 20),
        make_run("whatsapp-web.js", 5, error="SystemFailed: no code"),
    ]
    tables = {part.title: part for part in present({"figures": {"runs": runs}}) if isinstance(part, Table)}
    ratios = tables["Ours divided by whatsapp-web.js"]
    assert [row[0] for row in ratios.rows] == ["target", "20, the same browser", "20, only ours with the other browser"]
    found = {row[0]: dict(zip(ratios.columns, row, strict=True)) for row in ratios.rows}
    assert found["20, the same browser"]["reply latency, p50"] == "3.00 ✗"
    assert found["20, the same browser"]["start to QR code"] == "1.00"
    assert found["20, only ours with the other browser"]["start to QR code"] == "0.67"
    assert tables["Not measured"].rows == (("whatsapp-web.js", "5", "SystemFailed: no code"),)
    # 0.7 of 1,073.7 MB by 270 MB each.
    assert tables["Capacity"].rows[0][1] == "2.8"


def test_charts_are_pictures() -> None:
    bars = draw_bars("a & b", "MB", [("one", {"x": 1.0, "y": 2.0}), ("", {}), ("none", {})])
    lines = draw_lines("lines", "clients", "ms", {"x": [(1, 2.0), (20, 3.0)], "y": []})
    parts = present({"figures": {"runs": [make_run("ours", 1)]}})
    for svg in (bars, lines, *(part.svg for part in parts if isinstance(part, Chart))):
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_run_that_goes_on_keeps_the_busier_state_of_the_machine(places: Path) -> None:
    write("peers", {"runs": []})
    earlier = results.read_result("peers")
    assert earlier is not None
    earlier["machine"]["steal_percent"] = 99.0

    results.write_result("peers", options={}, figures={}, versions={}, earlier=earlier)

    kept = results.read_result("peers")
    assert kept is not None
    assert kept["machine"]["steal_percent"] == 99.0


def test_rounds_are_added_only_to_figures_of_the_same_versions_and_options(places: Path) -> None:
    runs = [make_run("ours", 1), make_run("theirs", 1), make_run("ours", 1, round=1), make_run("ours", 5)]
    assert count_rounds(runs) == {1: 2, 5: 1}

    write("peers", {"runs": runs})
    kept = results.read_result("peers")
    assert kept is not None
    assert is_alike(kept, {"Node": "20"}, {"clients": [1]})
    assert not is_alike(kept, {"Node": "24"}, {"clients": [1]})
    assert not is_alike(kept, {"Node": "20"}, {"clients": [5]})
