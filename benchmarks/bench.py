"""What every job is given: the size, the rounds, the peers, and the ground to work on."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from benchmarks.ground import Blob, Ground, big_store
from benchmarks.peers import Peers
from benchmarks.race import Contender, Row, race


class Bench:
    """One run of the benchmark in the folder ``base``; the big store is made when a job first needs it."""

    def __init__(  # noqa: PLR0913 - one keyword for each thing that a run depends on
        self,
        base: Path,
        *,
        size: int,
        rounds: int,
        peers: Peers,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        largest: int = 0,
        most_models: int = 10_000,
        watching: float = 180.0,
    ) -> None:
        self.base, self.size, self.rounds, self.peers = base, size, rounds, peers
        self.environ, self.say = environ, say
        self.largest, self.most_models, self.watching = largest or size, most_models, watching

    @cached_property
    def ground(self) -> Ground:
        """The ground with the big store."""
        return Ground(self.base / "big", self.environ, self.say)

    @cached_property
    def blob(self) -> Blob:
        """The big blob; the first question for it makes the store."""
        self.say(f"  preparing a store with {self.size:,} random bytes")
        return big_store(self.ground.store, self.size)

    def race(self, ground: Ground, contenders: Sequence[Contender]) -> tuple[Row, ...]:
        """Measure the contenders in turns."""
        return race(contenders, self.rounds, ground.measure, self.say)

    def peer(
        self,
        program: str,
        label: str,
        *command: str | Path,
        before: tuple[Callable[[], object], ...] = (),
        after: tuple[Callable[[], object], ...] = (),
        codes: tuple[int, ...] = (0,),
    ) -> Contender:
        """A contender that another program is; skipped where that is not installed."""
        return Contender(
            label=label,
            command=tuple(str(word) for word in command),
            program=program,
            before=before,
            after=after,
            codes=codes,
            skip=self.peers.why_not(program),
        )
