"""Stand guard: ``modelward guard`` until it is told to stop, in a process that stays small for months."""

import sys
from collections.abc import Mapping, Sequence

from modelward.cli.plainly import options

_VALUES = ("--interval", "--check-interval", "--listen", "--store", "--vault", "--config")
_SWITCHES = {
    "--verbose": ("verbose", True),
    "-v": ("verbose", True),
    "--maintenance": ("maintenance", True),
    "--no-maintenance": ("maintenance", False),
}


def command(words: Sequence[str], _environ: Mapping[str, str]) -> int | None:
    """Carry out ``modelward guard`` with these words; None for others, as ``--once``.

    The command line's library, which takes 2 MB, is not loaded.
    """
    found = options(words, _VALUES, _SWITCHES)
    if found is None:
        return None
    from modelward.bootstrap import find, resolve

    flags, switched = {name: value for name, value in found[0].items() if value}, found[1]
    if "interval" in flags:
        flags["maintenance_interval"] = flags.pop("interval")
    find(resolve(flags).settings)  # without a store there is nothing to guard, and the error says what to do
    return stand(flags, verbose=switched.get("verbose", False), maintenance=switched.get("maintenance", True))


def stand(flags: dict[str, str], *, verbose: bool, maintenance: bool) -> int:
    """Guard until a signal ends it; ``flags`` are settings by name."""
    from modelward.serve import assembled, run, stop_by_signal

    stop = stop_by_signal()
    with assembled(flags, verbose=verbose, maintenance=maintenance, serve=True) as process:
        print(f"guarding {process.store}", file=sys.stderr, flush=True)
        if process.address:
            print(f"dashboard and API: {process.address}", file=sys.stderr, flush=True)
        run(process, stop)
    return 0
