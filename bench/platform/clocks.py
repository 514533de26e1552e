"""How long things take."""

import statistics
import time
from collections.abc import Awaitable
from typing import Any

import httpx2

from bench.site import percentile

VISITS = 30

Figures = dict[str, Any]


async def clock(work: Awaitable[object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def get(http: httpx2.AsyncClient, path: str) -> float:
    """Seconds until a page is there, which it must be."""
    began = time.perf_counter()
    answer = await http.get(path)
    answer.raise_for_status()
    if answer.status_code != 200:
        raise AssertionError(f"{path} answered {answer.status_code}")
    return time.perf_counter() - began


async def visit_in_turn(pages: dict[str, tuple[httpx2.AsyncClient, str]]) -> dict[str, list[float]]:
    """Seconds of each page's answers; the first visit warms up and does not count, slow pages are visited less."""
    times: dict[str, list[float]] = {name: [] for name in pages}
    slowest = max([await get(*page) for page in pages.values()])
    for _ in range(max(3, min(VISITS, int(30 / slowest)))):
        for name, (http, path) in pages.items():
            times[name].append(await get(http, path))
    return times


def spread(seconds: list[float]) -> dict[str, float]:
    """Number, median and 99th percentile of times."""
    if not seconds:
        return {"n": 0, "p50_ms": 0, "p99_ms": 0}
    return {
        "n": len(seconds),
        "p50_ms": round(statistics.median(seconds) * 1000, 1),
        "p99_ms": round(percentile(seconds, 0.99) * 1000, 1),
    }
