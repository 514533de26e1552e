"""Charts as SVG text, readable on light and on dark pages: bars of stacked parts, and lines."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

COLORS = ("#1f6f8b", "#e07a3f", "#7a9e3b", "#9b5fa5", "#c2a83e", "#6b7280")
WIDTH, RIGHT, TOP = 820, 70, 64
BAR, GAP = 20, 8
INK, FAINT = "#1f2933", "#d5dae0"


def draw_bars(title: str, unit: str, rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """Horizontal bars, one for each row, made of stacked parts.

    Args:
        unit: of every value, named at the axis.
        rows: label and parts, from the top; a label of "" leaves a gap. A part has the same color in every row.
    """
    left = max((20 + 7.2 * len(label) for label, _ in rows), default=0)
    parts = list(dict.fromkeys(name for _, values in rows for name in values))
    ticks = _make_ticks(max((sum(values.values()) for _, values in rows), default=1))
    top = TOP + (22 if len(parts) > 1 else 0)
    bottom = top + len(rows) * (BAR + GAP)

    def x_of(value: float) -> float:
        return left + (WIDTH - left - RIGHT) * value / ticks[-1]

    shapes = _draw_legend(parts) if len(parts) > 1 else []
    for tick in ticks:
        shapes += [_line(x_of(tick), top - 6, x_of(tick), bottom, FAINT)]
        shapes += [_text(x_of(tick), bottom + 16, _show(tick), anchor="middle")]
    for number, (label, values) in enumerate(rows):
        y = top + number * (BAR + GAP)
        shapes.append(_text(left - 8, y + BAR - 5, label, anchor="end"))
        reached = 0.0
        for name, value in values.items():
            color = COLORS[parts.index(name) % len(COLORS)]
            width = x_of(reached + value) - x_of(reached)
            shapes.append(f'<rect x="{x_of(reached):.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{color}"/>')
            reached += value
        if values:
            shapes.append(_text(x_of(reached) + 6, y + BAR - 5, _show(reached)))
    shapes.append(_text((left + WIDTH - RIGHT) / 2, bottom + 34, unit, anchor="middle"))
    return _page(title, bottom + 46, shapes)


def draw_lines(
    title: str, x_unit: str, y_unit: str, series: Mapping[str, Sequence[tuple[float, float]]], *, height: int = 380
) -> str:
    """Lines through points (x, y), both axes from zero."""
    points = [point for line in series.values() for point in line]
    x_ticks = _make_ticks(max((x for x, _ in points), default=1))
    y_ticks = _make_ticks(max((y for _, y in points), default=1))
    left, top, bottom = 80, TOP + 22, height - 52

    def place(x: float, y: float) -> tuple[float, float]:
        across = (WIDTH - left - RIGHT) * x / x_ticks[-1]
        return left + across, bottom - (bottom - top) * y / y_ticks[-1]

    shapes = _draw_legend(list(series))
    for tick in y_ticks:
        _, y = place(0, tick)
        shapes += [_line(left, y, WIDTH - RIGHT, y, FAINT), _text(left - 8, y + 4, _show(tick), anchor="end")]
    for tick in x_ticks:
        x, _ = place(tick, 0)
        shapes += [_line(x, bottom, x, bottom + 4, INK), _text(x, bottom + 18, _show(tick), anchor="middle")]
    for number, line in enumerate(series.values()):
        color = COLORS[number % len(COLORS)]
        placed = [place(x, y) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.5"/>')
        shapes += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{color}"/>' for x, y in placed]
    shapes.append(_text((left + WIDTH - RIGHT) / 2, height - 14, x_unit, anchor="middle"))
    shapes.append(_text(12, TOP + 8, y_unit))
    return _page(title, height, shapes)


def _page(title: str, height: float, shapes: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" role="img"'
    style = 'font-family="system-ui, sans-serif" font-size="13"'
    heading = f'<text x="12" y="28" font-size="17" font-weight="600" fill="{INK}">{escape(title)}</text>'
    ground = '<rect width="100%" height="100%" rx="6" fill="#fff"/>'
    return "\n".join([f'{head} viewBox="0 0 {WIDTH} {height:.0f}" {style}>', ground, heading, *shapes, "</svg>", ""])


def _draw_legend(names: Sequence[str]) -> list[str]:
    shapes, x = [], 12.0
    for number, name in enumerate(names):
        shapes.append(f'<rect x="{x:.0f}" y="42" width="12" height="12" fill="{COLORS[number % len(COLORS)]}"/>')
        shapes.append(_text(x + 17, 53, name))
        x += 34 + 7.2 * len(name)
    return shapes


def _make_ticks(highest: float) -> list[float]:
    """Round numbers from 0 to above the highest value, some five of them."""
    highest = max(highest, 1e-6)
    size = 10.0 ** floor(log10(highest / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor * 5 >= highest)
    return [step * number for number in range(ceil(highest / step) + 1)]


def _show(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'
