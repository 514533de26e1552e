"""Deleting in a runner's journal and at the AI provider, whether the runner runs or not."""

import asyncio
import time

from control_plane.runners.gateway import RunnerGateway, RunnerUnreachable
from control_plane.runners.launchers.base import UP, Launcher, ProcessState
from tenant_runner.contract import PurgeReport, PurgeRequest

# A runner that was just started opens its port within seconds.
START_PATIENCE_S = 30.0
RETRY_S = 0.5
PRESENT = UP | {ProcessState.STOPPING}


async def purge_client(
    client_id: str, request: PurgeRequest, *, launcher: Launcher, gateway: RunnerGateway
) -> PurgeReport:
    """Purge through the runner if its process runs, else by a process of the launcher's.

    A process that runs holds its journal's lock: another one would wait for it in vain.

    Raises:
        Problem: the process runs, and does not answer or could not do it.
        LauncherError: it does not run, or nobody knows; nothing is lost, the next purge does it.
    """
    ends = time.monotonic() + START_PATIENCE_S
    while (await launcher.get(client_id)).state in PRESENT:
        try:
            return await gateway.purge(request)
        except RunnerUnreachable:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(RETRY_S)
    return await launcher.purge(client_id, request)
