"""schemathesis against a running server: what its own description allows, what it does not, and no failure of ours."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

SEED = 4
# It keeps what it found, and what it sent, beside itself: in a directory of the test.
CONFIGURATION = """
seed = {seed}
[generation]
deterministic = true
database = "none"
max-examples = {examples}
[phases.coverage]
unexpected-methods = ["PUT"]
[reports]
directory = "reports"
"""
# Many optional fields make hundreds of cases of one kind: those come from the random ones alone.
NOT_COVERED = """
[[operations]]
include-path = "{path}"
phases.coverage.enabled = false
"""
# What a schema cannot say (a number of a phone, a key that OpenAI refuses) is refused with 422, and pydantic takes
# "5" and false for numbers: neither is a failure here.
LEFT_OUT = "positive_data_acceptance,negative_data_rejection"


async def find_failures(
    description: dict[str, Any],
    base_url: str,
    directory: Path,
    *,
    headers: dict[str, str] | None = None,
    parameters: dict[str, str] | None = None,
    not_covered: tuple[str, ...] = (),
    examples: int = 3,
    coverage: bool = True,
) -> str:
    """Run it within the deadline.

    Args:
        parameters: values for parts of paths, so that something is found there.
        not_covered: paths whose boundary values are not all tried.

    Returns:
        What it says when the server broke its description or answered 5xx undocumented; empty when all is well.
    """
    document = directory / "openapi.json"
    document.write_text(json.dumps(description))
    lines = [CONFIGURATION.format(seed=SEED, examples=examples)]
    # In a file: everybody sees the arguments of a process.
    lines += ["[headers]", *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in (headers or {}).items())]
    lines += ["[parameters]", *(f"{name} = {json.dumps(value)}" for name, value in (parameters or {}).items())]
    lines += [NOT_COVERED.format(path=path) for path in not_covered]
    (directory / "schemathesis.toml").write_text("\n".join(lines))
    program = Path(sys.executable).parent / "schemathesis"
    process = await asyncio.create_subprocess_exec(
        str(program),
        "run",
        str(document),
        "--url",
        base_url,
        "--phases",
        "coverage,fuzzing" if coverage else "fuzzing",
        "--exclude-checks",
        LEFT_OUT,
        "--continue-on-failure",
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith("FLAME_")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(200):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return said.decode()[-20_000:] if process.returncode else ""
