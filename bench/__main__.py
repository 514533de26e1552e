"""Every benchmark by its name: `python -m bench [name [options]]`; without a name all that the report is made of."""

import importlib
import signal
import sys

MEASURED = ("peers", "platform", "many")
NAMES = (*MEASURED, "soak", "fifty", "report")


def main(arguments: list[str]) -> int:
    """Run one, or all and the report; the worst status of them."""
    _end_by_sigterm()
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


def _end_by_sigterm() -> None:
    """Have SIGTERM do what Ctrl-C does, so that a benchmark takes along what it started."""

    def end(number: int, _: object) -> None:
        # `timeout` sends it twice; the second one must not interrupt the end.
        signal.signal(number, lambda *_: None)
        signal.raise_signal(signal.SIGINT)

    # A shell's background job is born deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
