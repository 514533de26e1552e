"""What supervisord lacks: work for one program that does not grow with the others, and one look at many.

Its own way to take a program reads every file anew; its own look at one takes a call, and at all a millisecond each.

supervisord.conf has it loaded inside supervisord, beside supervisord's own interface. Nothing of ours is imported here:
supervisord stays as small as it is.
"""

import json
from configparser import Error
from typing import Any

from supervisor.options import UnhosedConfigParser
from supervisor.states import SupervisorStates, getProcessStateDescription
from supervisor.xmlrpc import Faults, RPCError


class Programs:
    """The methods `programs.…` of supervisord's XML-RPC interface."""

    def __init__(self, supervisord: Any) -> None:
        self._supervisord = supervisord

    def define(self, texts: list[str]) -> list[list[str]]:
        """Add programs that are not there; nothing is started, and nothing that is there is changed.

        Args:
            texts: of a configuration file with one program each.

        Returns:
            Of each, in this order, `[outcome, reason]`: `added`; `same`, it is there as defined; `other`, it is there
            with another definition; `refused`, with supervisord's reason.
        """
        self._refuse_when_ending()
        outcomes = [self._define(text) for text in texts]
        # supervisord sorts them at every turn of its loop, several for each call: what is in order costs it little.
        groups = self._supervisord.process_groups
        ordered = sorted(groups.items(), key=lambda item: item[1].config)
        groups.clear()
        groups.update(ordered)
        return outcomes

    def look(self, prefix: str, names: list[str] | None = None) -> str:
        """What programs are doing, in one call.

        Args:
            prefix: of the names of programs to look at.
            names: only these of them, those that are there.

        Returns:
            JSON: `pid` of supervisord, and `programs` by name, each with what `supervisor.getProcessInfo` calls `pid`,
            `state`, `statename`, `start`, `exitstatus` and `spawnerr`.
        """
        self._refuse_when_ending()
        groups = self._supervisord.process_groups
        wanted = [name for name in (groups if names is None else names) if name in groups and name.startswith(prefix)]
        programs = {name: _tell(groups[name].processes[name]) for name in wanted}
        return json.dumps({"pid": self._supervisord.options.get_pid(), "programs": programs})

    def _refuse_when_ending(self) -> None:
        """As supervisord's own methods do."""
        if self._supervisord.options.mood < SupervisorStates.RUNNING:
            raise RPCError(Faults.SHUTDOWN_STATE)

    def _define(self, text: str) -> list[str]:
        try:
            [group] = self._parse(text)
        except (Error, ValueError) as error:
            return ["refused", str(error)]
        if self._supervisord.add_process_group(group):
            return ["added", ""]
        return ["same" if group == self._supervisord.process_groups[group.name].config else "other", ""]

    def _parse(self, text: str) -> list[Any]:
        """As supervisord reads the files that it includes."""
        options = self._supervisord.options
        parser = UnhosedConfigParser()
        parser.expansions = options.environ_expansions
        parser.read_string(text)
        groups: list[Any] = options.process_groups_from_parser(parser)
        for process in (process for group in groups for process in group.process_configs):
            process.environment = {**options.configroot.supervisord.environment, **process.environment}
        return groups


def _tell(process: Any) -> dict[str, Any]:
    state = process.get_state()
    return {
        "pid": process.pid,
        "state": state,
        "statename": getProcessStateDescription(state),
        "start": int(process.laststart),
        "exitstatus": process.exitstatus or 0,
        "spawnerr": process.spawnerr or "",
    }


def make_interface(supervisord: Any) -> Programs:
    """What supervisord calls, once."""
    return Programs(supervisord)
