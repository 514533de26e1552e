"""Tables and charts of docs/benchmarks.md, made from the results: `python -m bench report`.

A benchmark brings its own presentation: a function `present(result)` in its module `bench.<name>`, which returns tables
and charts; a result named `<name>-<variant>` is presented by the same. What stands between `<!-- generated: <name> -->`
and `<!-- end: <name> -->` in the page is replaced by them.
"""

import argparse
import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.results import RESULTS, Chart, Table, read_result

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"
CHARTS = DOCS / "images" / "benchmarks"
GENERATED = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Rewrite the generated parts; 1 when a result has no place in the page."""
    argparse.ArgumentParser(prog="python -m bench report", description=__doc__).parse_args(arguments)
    places: set[str] = set()

    def fill(place: re.Match[str]) -> str:
        places.add(place[2])
        return f"{place[1]}{render(place[2])}{place[3]}"

    PAGE.write_text(GENERATED.sub(fill, PAGE.read_text()))
    homeless = sorted({path.stem for path in RESULTS.glob("*.json")} - places)
    print(f"{PAGE.name}: {', '.join(sorted(places))}")
    if homeless:
        print(f"no place in {PAGE.name} for: {', '.join(homeless)} (add <!-- generated: … --> and <!-- end: … -->)")
    return 1 if homeless else 0


def render(name: str) -> str:
    """What a benchmark found, as Markdown; its charts are written beside the page."""
    result = read_result(name)
    if result is None:
        return f"*Not measured yet: `./scripts/bench {name}`.*\n"
    return "\n".join([describe(result), *(_render_part(part) for part in present(name, result))])


def print_tables(name: str) -> None:
    """The same tables, to a terminal."""
    if (result := read_result(name)) is not None:
        print(describe(result))
        for part in present(name, result):
            if isinstance(part, Table):
                print("\n" + format_table(part))


def present(name: str, result: dict[str, Any]) -> Iterable[Table | Chart]:
    """As the benchmark presents it; a benchmark that does not gets a list of its figures."""
    try:
        own = getattr(importlib.import_module(f"bench.{name.partition('-')[0]}"), "present", None)
    except ModuleNotFoundError:
        own = None
    if own is not None:
        return list(own(result))
    rows = tuple(_flatten("", result["figures"]))
    return [Table("Figures", ("figure", "value"), rows)]


def describe(result: dict[str, Any]) -> str:
    """Date, machine, versions, options: one paragraph."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    options = ", ".join(f"{name.replace('_', ' ')} {_show(value)}" for name, value in result["options"].items())
    return (
        f"{result['date'][:10]}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['kernel']}, "
        f"Python {machine['python']}, Chromium {machine['chromium']}; load {machine['load']}, "
        f"{machine['steal_percent']} % of the time taken by the host. {versions}. Options: {options}.\n"
    )


def format_table(table: Table) -> str:
    """As Markdown, with columns that line up."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]

    def format_line(cells: tuple[str, ...]) -> str:
        padded = [
            f"{cell:<{w}}" if n == 0 else f"{cell:>{w}}" for n, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (width + 2) if n == 0 else "-" * (width + 1) + ":" for n, width in enumerate(widths))
    body = [format_line(table.columns), f"|{rule}|", *(format_line(row) for row in table.rows)]
    return "\n".join([f"**{table.title}**", "", *body, *(["", table.note] if table.note else []), ""])


def _render_part(part: Table | Chart) -> str:
    if isinstance(part, Table):
        return format_table(part)
    CHARTS.mkdir(parents=True, exist_ok=True)
    (CHARTS / f"{part.name}.svg").write_text(part.svg)
    return f"![{part.title}](images/benchmarks/{part.name}.svg)\n"


def _flatten(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(f"{path} · {key}" if path else str(key), inner)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for number, inner in enumerate(value):
            yield from _flatten(f"{path} {number}", inner)
    else:
        yield path, _show(value)


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return ", ".join(map(_show, value)) if isinstance(value, list | tuple) else str(value)
