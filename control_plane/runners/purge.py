"""Deleting in a runner's journal and at the AI provider, whether the runner runs or not."""

from datetime import datetime

from control_plane.runners.gateway import RunnerGateway, RunnerUnreachable
from control_plane.runners.launchers.base import Launcher, ProcessState
from tenant_runner.contract import PurgeReport, PurgeRequest


async def purge_client(
    client_id: str, before: datetime | None, *, launcher: Launcher, gateway: RunnerGateway
) -> PurgeReport:
    """Purge through the runner if its process runs, else by a process of the launcher's.

    Raises:
        Problem: the runner answered that it could not.
        LauncherError: neither way worked; nothing is lost, the next purge does it.
    """
    observed = await launcher.get(client_id)
    if observed.state is ProcessState.RUNNING:
        try:
            return await gateway.purge(PurgeRequest(before=before))
        except RunnerUnreachable:
            # It holds the journal's lock while it runs: the launcher's own process would wait for it in vain.
            await launcher.stop(client_id)
    return await launcher.purge(client_id, before)
