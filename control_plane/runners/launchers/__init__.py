"""Where runners can run: one module and one line of `LAUNCHERS` each."""

from collections.abc import Callable
from dataclasses import replace

from control_plane.runners.launchers.base import Launcher
from control_plane.runners.launchers.isolation import Walls, describe_installation, probe
from control_plane.runners.launchers.memory_limit import probe_limits
from control_plane.runners.launchers.supervisord import SupervisordLauncher
from control_plane.settings import REPOSITORY, Settings


def probe_walls(settings: Settings) -> Walls:
    """The walls that this machine and the settings allow; takes a second or two, since it runs programs behind them."""
    installation = describe_installation(
        data_directory=settings.data_directory,
        repository=REPOSITORY,
        chromium=settings.chromium,
        first_account=settings.first_account,
    )
    walls = probe(installation, settings.isolation)
    return replace(walls, limits=probe_limits(settings.data_directory, wanted=settings.hard_memory_limit_mb > 0))


def _supervisord(settings: Settings, walls: Walls) -> Launcher:
    return SupervisordLauncher(
        socket=settings.supervisor_socket or settings.data_directory / "supervisor" / "supervisor.sock",
        programs_directory=settings.programs_directory,
        logs_directory=settings.data_directory / "logs",
        clients_directory=settings.clients_directory.absolute(),
        walls=walls,
    )


LAUNCHERS: dict[str, Callable[[Settings, Walls], Launcher]] = {"supervisord": _supervisord}


def open_launcher(settings: Settings, walls: Walls, name: str = "supervisord") -> Launcher:
    """The launcher of that name, for this installation."""
    return LAUNCHERS[name](settings, walls)
