"""Where runners can run: one module and one line of `LAUNCHERS` each."""

from collections.abc import Callable

from control_plane.runners.launchers.base import Launcher
from control_plane.runners.launchers.supervisord import SupervisordLauncher
from control_plane.settings import Settings


def _supervisord(settings: Settings) -> Launcher:
    return SupervisordLauncher(
        socket=settings.supervisor_socket or settings.data_directory / "supervisor" / "supervisor.sock",
        programs_directory=settings.programs_directory,
        logs_directory=settings.data_directory / "logs",
    )


LAUNCHERS: dict[str, Callable[[Settings], Launcher]] = {"supervisord": _supervisord}


def open_launcher(settings: Settings, name: str = "supervisord") -> Launcher:
    """The launcher of that name, for this installation."""
    return LAUNCHERS[name](settings)
