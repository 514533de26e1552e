"""Runner processes on this machine that no launcher supervises: leftovers, and purges."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Collection, Sequence

import psutil
from pydantic import ValidationError

from control_plane.runners.launchers.base import LauncherRefused
from tenant_runner.contract import PurgeReport, PurgeRequest

LEFTOVER_GRACE_S = 5.0


def end_leftovers(commands: Collection[Sequence[str]], *, parent: int) -> list[int]:
    """End processes whose command line is or ends with one of `commands` and that do not descend from `parent`.

    Ends with: as what they were started behind (walls) may have been another then. Of others' processes only root sees
    to it.

    They outlived the supervisord that had started them. Two runners on one browser profile and journal would ruin both,
    and one that nobody supervises would answer customers for ever.

    Returns:
        Their process ids.
    """
    wanted = {tuple(command) for command in commands}
    lengths = {len(command) for command in wanted}
    leftovers = []
    for process in psutil.process_iter() if wanted else ():
        with contextlib.suppress(psutil.Error):
            line = tuple(process.cmdline())
            ours = os.getuid() in (0, process.uids().real) and any(line[-length:] in wanted for length in lengths)
            if ours and parent not in [above.pid for above in process.parents()]:
                leftovers.append(process)
    for process in leftovers:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _gone, alive = psutil.wait_procs(leftovers, timeout=LEFTOVER_GRACE_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=LEFTOVER_GRACE_S)
    return [process.pid for process in leftovers]


async def run_purge(command: Sequence[str], request: PurgeRequest, *, deadline_s: float) -> PurgeReport:
    """Run a runner's purge command; its report is the last line that it prints, its log goes where ours goes.

    Raises:
        LauncherRefused: it could not be run, failed, took too long or printed no report.
    """
    scope = ["--everything"] if request.before is None else ["--before", request.before.isoformat()]
    if request.chat_ids:
        # Which ones by standard input: they are phone numbers, and a command line is for everybody to read.
        scope.append("--chats")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            *scope,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise LauncherRefused(f"the purge could not be run: {error.strerror}") from error
    try:
        output, _ = await asyncio.wait_for(process.communicate("\n".join(request.chat_ids).encode()), deadline_s)
    except TimeoutError as error:
        raise LauncherRefused(f"the purge did not end within {deadline_s:g} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        raise LauncherRefused(f"the purge ended with status {process.returncode}")
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        return PurgeReport.model_validate_json(lines[-1] if lines else "")
    except ValidationError as error:
        raise LauncherRefused("the purge printed no report") from error
