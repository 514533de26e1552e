"""What supervisord lacks: taking a program without reading every file anew, which takes longer with each client.

supervisord.conf has it loaded inside supervisord, beside supervisord's own interface. Nothing of ours is imported here:
supervisord stays as small as it is.
"""

from configparser import Error
from typing import Any

from supervisor.options import UnhosedConfigParser


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
        return [self._define(text) for text in texts]

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


def make_interface(supervisord: Any) -> Programs:
    """What supervisord calls, once."""
    return Programs(supervisord)
