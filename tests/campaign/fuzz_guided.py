"""Run targets of ``fuzz`` under atheris: ``python -m tests.campaign.fuzz_guided NAME OPTIONS [-- NAME OPTIONS]...``.

Instrumenting our modules takes seconds, so it is done once, and each target runs in a process that is forked then.
"""

import os
import sys
from itertools import groupby

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["modelward"]):
    from tests.campaign.fuzz import Target, one, target


def main() -> None:
    """One after the other; says of each how it ended. The options behind a name are atheris's own."""
    jobs = [list(words) for apart, words in groupby(sys.argv[1:], "--".__eq__) if not apart]
    with atheris.instrument_imports(include=["modelward"]):
        uses = {name: target(name) for name, *_ in jobs}
    for name, *options in jobs:
        print(f"target {name}", file=sys.stderr, flush=True)
        child = os.fork()
        if not child:
            _fuzz(uses[name], options)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"ended {status}", file=sys.stderr, flush=True)


def _fuzz(use: Target, options: list[str]) -> None:
    """Never comes back."""

    def test(data: bytes) -> None:
        one(use, data)

    atheris.Setup([sys.argv[0], *options], test)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
