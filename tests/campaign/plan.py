"""The campaign: its parts, how much time each gets, the seed that repeats it, and where its figures go."""

import json
import os
import platform
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Part:
    """A part is the file ``test_<name>.py``; ``share`` is its part of the whole budget."""

    name: str
    what: str
    share: float


PARTS = (
    Part("crash", "SIGKILL at every system call of every verb, and again inside the recovery that follows", 0.2),
    Part("power", "power cuts: file systems shut down, and block logs replayed with lost and reordered writes", 0.16),
    Part("errors", "errors, short writes and false promises of the operating system; full and read-only disks", 0.1),
    Part("rot", "random damage of every class of object, found, healed or said; no false alarm", 0.2),
    Part("hostile", "registries and servers that lie, hang, lead astray or never end", 0.08),
    Part("concurrency", "two writers, scrub, repair, prune and a server that pulls and deletes, in one another", 0.06),
    Part(
        "attack",
        "hostile names, links, bundles, addresses, requests; every parser fuzzed; planted secrets; edited logs",
        0.08,
    ),
    Part("guard", "a busy guard, killed at random: it comes back, and nothing acknowledged is lost", 0.08),
    Part("soak", "a guard under random faults for as long as one likes: all is healed, nothing grows", 0.04),
)


@dataclass(frozen=True)
class Limits:
    """What one test may spend: ``little`` cases in the ordinary suite, ``share`` of its part's budget otherwise."""

    little: int
    share: float = 1.0


def limited(little: int, share: float = 1.0) -> Callable[[F], F]:
    """Say of a test what it may spend."""

    def mark(test: F) -> F:
        test.__dict__["limits"] = Limits(little, share)  # read by the fixture that makes the Run
        return test

    return mark


@dataclass
class Run:
    """One run of one test: cases one after the other, each with its own generator, and what was counted.

    A case depends on the seed and on its number alone, so that ``SEED=7:42`` begins with case 42 of seed 7.
    """

    part: str
    test: str
    seed: str
    cases: int = 0
    seconds: float = 0.0
    figures: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        number, _, first = self.seed.partition(":")
        self.seed, self.first = number, int(first or 0)
        self.done, self.began = 0, time.monotonic()

    @property
    def going(self) -> bool:
        """Whether there is anything left to spend."""
        if self.cases:
            return self.done < self.cases
        return time.monotonic() - self.began < self.seconds

    def numbers(self) -> Iterator[int]:
        """The numbers of the cases, until what may be spent is spent."""
        number = self.first
        while self.going:
            yield number
            number += 1

    def rng(self, number: int) -> random.Random:
        """The generator of a case."""
        return random.Random(f"{self.seed}/{self.test}/{number}")

    @contextmanager
    def case(self, number: int, what: object = "") -> Iterator[random.Random]:
        """Do one case; whatever is raised in it carries the line that does it again."""
        try:
            yield self.rng(number)
        except BaseException as error:
            line = self.reproducer(number)
            self.failed.append(f"{line}  # {self.test} {what}")
            error.add_note(f"again: {line}  ({self.test} {what})")
            print(f"again: {line}")
            raise
        self.done += 1
        self.figures["cases"] += 1

    def reproducer(self, number: int) -> str:
        """The line that begins with this very case."""
        return f"make campaign PART={self.part} SEED={self.seed}:{number} BUDGET=60 ARGS='-k {self.test}'"

    def write(self) -> None:
        """Add a line to the figures of the part."""
        folder = out()
        folder.mkdir(parents=True, exist_ok=True)
        line = {
            "part": self.part,
            "test": self.test,
            "seed": self.seed,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(time.monotonic() - self.began, 1),
            "system": f"Linux {'.'.join(platform.release().split('.')[:2])}, Python {platform.python_version()}",
            "figures": dict(sorted(self.figures.items())),
            "failed": self.failed,
        }
        with (folder / f"{self.part}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def out() -> Path:
    """Where runs write their figures."""
    return Path(os.environ.get("MODELWARD_CAMPAIGN_OUT", ROOT / "build" / "campaign"))


def seed() -> str:
    """The seed of the environment, else a new one."""
    return os.environ.get("MODELWARD_CAMPAIGN_SEED") or str(random.SystemRandom().randrange(1 << 30))


def budget(part: str) -> float:
    """Seconds for a part: all that there is when it runs alone."""
    whole = float(os.environ.get("MODELWARD_CAMPAIGN_BUDGET") or 600)
    if os.environ.get("MODELWARD_CAMPAIGN_PART"):
        return whole
    return whole * next((known.share for known in PARTS if known.name == part), 0.1)
