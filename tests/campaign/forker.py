"""Start guards quickly: a process that has loaded everything once, and forks a guard for each line that it reads."""

import os
import signal
import sys


def main() -> None:
    """For each line: fork a guard with that word as its log, and print its process number."""
    import modelward.api.app
    import modelward.api.server
    import modelward.cli.app
    import modelward.cli.guard
    import modelward.serve
    import modelward.services.drill

    modelward.cli.app.program()  # loads every verb
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            out = os.open(line.strip(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.argv = ["modelward", "guard"]
            modelward.cli.app.main()
        print(pid, flush=True)


if __name__ == "__main__":
    main()
