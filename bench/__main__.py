"""Every benchmark by its name: `python -m bench [name [options]]`; without a name all that the report is made of."""

import importlib
import sys

MEASURED = ("peers", "platform", "many")
NAMES = (*MEASURED, "soak", "fifty", "report")


def main(arguments: list[str]) -> int:
    """Run one, or all and the report; the worst status of them."""
    if not arguments:
        return max([run(name, []) for name in MEASURED] + [run("report", [])])
    name, *options = arguments
    if name not in NAMES:
        print(f"usage: python -m bench [{' | '.join(NAMES)}] [options]; --help after a name says more")
        return 0 if name in ("-h", "--help") else 2
    return run(name, options)


def run(name: str, options: list[str]) -> int:
    """Run one benchmark, whose module is only loaded now."""
    return int(importlib.import_module(f"bench.{name}").main(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
