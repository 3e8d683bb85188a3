"""Say which branches the tests did not take, and refuse less than the floors: of all, and of what must be whole."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "modelward"
# What writes, keeps, heals and lets in: a branch that no test takes here may cost somebody a model.
WHOLE = (
    "durable.py",
    "vault/*.py",
    "stores/ollama_writer.py",
    "domain/plan.py",
    "services/repair.py",
    "services/repair_vault.py",
    "services/heal.py",
    "services/fetch.py",
    "services/pulling.py",
    "services/derive.py",
    "domain/access.py",
    "api/access.py",
    "api/tokens.py",
)


def whole() -> Iterator[Path]:
    """The files of which every branch has to be taken; raises LookupError where a line of the list names none."""
    for pattern in WHOLE:
        found = sorted(SOURCE.glob(pattern))
        if not found:
            raise LookupError(f"{pattern} names no file of {SOURCE}")
        yield from found


def main() -> int:
    """Report what was measured; the exit code is 0 where both floors are kept, else 2."""
    report = [sys.executable, "-m", "coverage", "report"]
    everything = subprocess.run(report, check=False)
    sys.stdout.write("\nOf what has to be covered whole:\n")
    sys.stdout.flush()
    named = ",".join(map(str, whole()))
    heart = subprocess.run([*report, f"--include={named}", "--fail-under=100"], check=False)
    return max(everything.returncode, heart.returncode)


if __name__ == "__main__":
    sys.exit(main())
