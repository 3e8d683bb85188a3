"""Scenes for whole processes: a verb with work to do, set up anew for each case, and what must hold behind it."""

import json
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelward.domain.history import CheckRow, JobRow
from modelward.domain.reading import Level
from modelward.domain.series import Series
from modelward.journal.sqlite import SqliteJournal, read_journal
from modelward.services.audit import verify_audit
from modelward.services.backup import backup
from modelward.services.retention import prune
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore, FrozenClock, corrupt
from modelward.testing.registry import FakeRegistry
from tests.campaign.chores import ACKNOWLEDGED
from tests.campaign.striker import Striker, Warm
from tests.campaign.world import sha256
from tests.places import Place
from tests.program import Program, Ran

MIB = 1 << 20
WEIGHTS = random.Random(1).randbytes(2 * MIB + 5)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
ONCE = ("guard", "--once")
GUARD = {
    "MODELWARD_PROBE": "off",
    "MODELWARD_LISTEN": "",
    "MODELWARD_SETTLE": "1s",
    "MODELWARD_SCRUB_RATE": "0",
    "MODELWARD_ALERT_PENDING": "1s",
}


@dataclass(frozen=True)
class Scene:
    """A verb, and what is done before so that it has work to do; ``versions`` of llama3 are backed up first.

    ``codes`` are the exit codes of a run that ends well; ``drops`` says that records may go; ``partly`` that the store
    or the vault begins damaged, ``without`` that the store need not be whole in the end. {registry} in the words or
    the environment is where a registry listens, {trashed} a snapshot in the trash.
    """

    words: tuple[str, ...]
    versions: int = 1
    ready: Callable[["Play"], object] = lambda _: None
    environ: dict[str, str] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)
    drops: bool = False
    partly: bool = False
    without: bool = False


@dataclass(frozen=True)
class Play(Warm):
    """The program in one run of a scene, with what the scene adds to its environment."""

    scene: Scene
    registry: FakeRegistry

    @property
    def state(self) -> Path:
        """Where the guard keeps what is its own."""
        return self.base / "state"

    def environ(self, **more: str) -> dict[str, str]:
        """That of the program, with the scene's own."""
        own = {name: self._filled(text) for name, text in self.scene.environ.items()}
        return super().environ(MODELWARD_STATE=str(self.state), **{**own, **more})

    def words(self) -> tuple[str, ...]:
        """The verb with its arguments."""
        return tuple(self._filled(word) for word in self.scene.words)

    def _filled(self, text: str) -> str:
        trash = self.vault / "modelward" / "trash"
        trashed = min((path.stem for path in trash.iterdir()), default="") if trash.exists() else ""
        return text.replace("{registry}", self.registry.address).replace("{trashed}", trashed)

    def does(self, *words: str) -> Ran:
        """Do something that has to go well."""
        ran = self.run(*words)
        assert ran.code == 0, (words, ran)
        return ran


def lost(play: Program) -> None:
    """The manifest and the weights are gone."""
    FakeStore(play.store).delete_manifest("llama3")
    weights(play.store / "blobs").unlink()


def zeroed(play: Program) -> None:
    """A chunk of the weights is zeroed."""
    corrupt.zero(weights(play.store / "blobs"), MIB + 5, 5000)


def rotten(play: Program) -> None:
    """The vault's copy of the weights is damaged, and its smallest object gone."""
    blobs = play.vault / "blobs" / "sha256"
    corrupt.zero(weights(blobs), MIB + 5, 5000)
    min(blobs.iterdir(), key=lambda path: path.stat().st_size).unlink()


def forgotten(play: Play) -> None:
    """The older version lies in the trash."""
    play.does("forget", "--keep-last", "1")


def bundled(play: Play) -> None:
    """There is a bundle, and a new vault that has nothing of it."""
    play.does("export", "llama3", "bundle.mw")
    _new_vault(play)


def pushed(play: Play) -> None:
    """A registry has the model, and a new vault has nothing of it."""
    play.does("push", "llama3", f"{play.registry.address}/backups/llama3:latest")
    _new_vault(play)


def unpushed(play: Play) -> None:
    """The registry has nothing."""
    play.registry.manifests.clear()
    play.registry.blobs.clear()


def _new_vault(play: Play) -> None:
    play.vault.rename(play.base / "old vault")
    play.does("backup", "mini")


def upstream(play: Play) -> None:
    """The model is in no vault and not in the store, but upstream."""
    if "library/llama3:latest" not in play.registry.manifests:
        play.registry.add("library/llama3:latest", WEIGHTS, b"{{ .Prompt }}")
    lost(play)
    shutil.rmtree(play.vault)


def littered(play: Program) -> None:
    """An orphan and the leftovers of a download."""
    FakeStore(play.store).add_orphan(b"nobody")
    FakeStore(play.store).add_partial()


def guarded(play: Play) -> None:
    """A guard was here; since then a chunk rotted, and there is a new model."""
    assert play.run(*ONCE).code in (0, 1)
    zeroed(play)
    FakeStore(play.store).add_model("newer", b"newer", template=b"{{ .Prompt }}")


def emptied(play: Play) -> None:
    """A guard was here; since then a model was lost whole."""
    assert play.run(*ONCE).code in (0, 1)
    lost(play)


def braked(play: Play) -> None:
    """A guard was here, and saw so much damage that it wants to be told to go on."""
    assert play.run(*ONCE).code in (0, 1)
    zeroed(play)
    assert play.run(*ONCE, MODELWARD_BRAKE_MODELS="0").code in (0, 1)


def weights(folder: Path) -> Path:
    """The newest of the largest files."""
    return max(folder.iterdir(), key=lambda path: (path.stat().st_size, path.stat().st_mtime_ns))


_UPSTREAM = {"MODELWARD_UPSTREAM": "true", "MODELWARD_MIRRORS": "registry.ollama.ai=http://{registry}"}
_RETAIN = {**GUARD, "MODELWARD_KEEP_LAST": "1", "MODELWARD_TRASH_DAYS": "0"}

SCENES = {
    "backup": Scene(("backup",), versions=0),
    "restore": Scene(("restore", "llama3"), ready=lost),
    "repair in place": Scene(("repair",), ready=zeroed, partly=True),
    "repair of a loss": Scene(("repair",), ready=lost),
    "repair of the vault": Scene(("repair", "--vault-copy"), ready=rotten, partly=True),
    "forget": Scene(("forget", "--keep-last", "1"), versions=2),
    "undelete": Scene(("forget", "--undelete", "{trashed}"), versions=2, ready=forgotten),
    "prune": Scene(("prune", "--trash-days", "0"), versions=2, ready=forgotten, drops=True),
    "rollback": Scene(("rollback", "llama3"), versions=2, codes=(0, 2)),  # 2: gone back before, nothing older
    "import": Scene(("import", "bundle.mw"), ready=bundled),
    "export": Scene(("export", "llama3", "new.mw", "--force")),
    "push": Scene(("push", "llama3", "{registry}/backups/llama3:latest"), ready=unpushed),
    "fetch": Scene(("fetch", "{registry}/backups/llama3:latest"), ready=pushed),
    "pull": Scene(("pull", "llama3"), ready=upstream, environ=_UPSTREAM),
    "release": Scene(("release", "llama3")),
    "protect": Scene(("protect", "llama3"), ready=lambda play: play.does("release", "llama3")),
    "pin": Scene(("pin", "llama3")),
    "drill": Scene(("drill", "llama3")),
    "reclaim": Scene(("space", "--reclaim", "--grace", "0s"), ready=littered),
    "first round of a guard": Scene(ONCE, versions=0, environ=GUARD, codes=(0, 1)),
    "guard heals": Scene(ONCE, ready=guarded, environ=GUARD, codes=(0, 1), partly=True),
    "guard restores": Scene(ONCE, ready=emptied, environ=GUARD, codes=(0, 1)),
    "guard retains": Scene(ONCE, versions=2, environ=_RETAIN, codes=(0, 1), drops=True),
    "brake": Scene(("brake", "--release"), ready=braked, environ=GUARD, codes=(0, 1), partly=True, without=True),
    "silence": Scene(("alerts", "silence", "llama3"), ready=lambda play: play.run(*ONCE), environ=GUARD),
    "token": Scene(("token", "create", "second"), ready=lambda play: play.does("token", "create", "first")),
    "journal": Scene(("@journal",), versions=0, without=True),
}


@dataclass(frozen=True)
class Known:
    """What was acknowledged before a verb: records, the audit log's bytes, tokens, and jobs of the journal."""

    records: frozenset[str]
    audit: bytes
    tokens: frozenset[str]
    jobs: frozenset[str]

    @classmethod
    def of(cls, play: Play) -> "Known":
        """As it is now."""
        log = play.vault / "modelward" / "audit.jsonl"
        return cls(records(play), log.read_bytes() if log.exists() else b"", tokens(play), jobs(play))


class Stage:
    """A scene on the folder ``base``, set up anew for each case: receipts tell a copy of a vault from the vault."""

    def __init__(self, name: str, base: Path, striker: Striker, registry: FakeRegistry) -> None:
        self.name, self.scene = name, SCENES[name]
        self.base, self.striker = base, striker
        self._registry = registry
        self.calls = self.struck(self.play(), 0).calls

    def play(self) -> Play:
        """The scene, set up; the one before goes."""
        play = self.here()
        shutil.rmtree(play.base, ignore_errors=True)
        play.base.mkdir(parents=True)
        stocked(play, self.scene.versions)
        self.scene.ready(play)
        return play

    def here(self) -> Play:
        """The scene as the last run left it."""
        return Play(base=self.base, striker=self.striker, scene=self.scene, registry=self._registry)

    def struck(self, play: Play, at: int, **more: str) -> "Outcome":
        """Do the verb, killed at the ``at``-th mutating call, or listing the calls where that is 0."""
        found = self.striker.ask(play, play.words(), at, **more)
        said = self.striker.said()
        killed = found.call is not None
        assert killed or found.code in self.scene.codes, (found.code, said)
        return Outcome(killed, found.call, found.calls)


@dataclass(frozen=True)
class Outcome:
    """Whether a run was killed, at which call of which thread, and the calls of one that was not to be."""

    killed: bool
    call: tuple[int, str, str] | None
    calls: tuple[tuple[int, str, str], ...]


def stocked(program: Program, versions: int) -> None:
    """A store with two models, and so many versions of llama3 in the vault, each a day older than the next."""
    store = FakeStore(program.store)
    store.add_model("mini", b"mini", template=b"{{ .Prompt }}")
    for age in reversed(range(max(1, versions))):
        store.add_model("llama3", WEIGHTS + bytes([age]), template=b"{{ .Prompt }}")
        if age:
            backup(Place(program.base, FrozenClock(datetime.now(UTC) - timedelta(days=age))).site(), ())
    if versions:
        ran = program.run("backup")
        assert ran.code == 0, ran


def records(program: Program) -> frozenset[str]:
    """The records of the vault, in the trash or not."""
    own = program.vault / "modelward"
    folders = [own / name for name in ("snapshots", "trash") if (own / name).exists()]
    return frozenset(path.name for folder in folders for path in folder.iterdir())


def tokens(play: Play) -> frozenset[str]:
    """The names of the tokens."""
    path = play.state / "tokens.json"
    if not path.exists():
        return frozenset()
    return frozenset(str(token["name"]) for token in json.loads(path.read_bytes())["tokens"])


def jobs(play: Play) -> frozenset[str]:
    """The jobs that the journal has."""
    journal = read_journal(play.state)
    if journal is None:
        return frozenset()
    with closing(journal):
        return frozenset(row.id for row in journal.rows(JobRow, LONG_AGO, limit=1_000_000))


def check(play: Play, known: Known, *, reading: bool = True) -> None:
    """Nothing acknowledged is lost, no name holds wrong bytes, and the next run ends well with nothing by hand.

    Without ``reading`` the verb was told lies by what it read, and may have set the journal aside as broken.
    """
    scene = play.scene
    if not scene.drops:
        assert known.records <= records(play), "a record is lost"
    if not scene.partly:
        assert not wrong(play)
    assert not torn(play.registry), "a registry's tag names what it does not have"
    assert tokens(play) >= known.tokens, "a token is lost"
    again = play.run(*play.words())
    assert again.code in scene.codes, again
    _whole(play, known)
    if reading:
        _history(play, known)


def _whole(play: Play, known: Known) -> None:
    """Store and vault are sound, the audit log has all that it had, and nothing is left lying about."""
    own = play.vault / "modelward"
    there = (own / "vault.json").exists()
    site = Place(play.base, FrozenClock(datetime.now(UTC) + timedelta(minutes=1))).site(make_vault=there)
    if not play.scene.without:
        assert not wrong(play)
        assert verify(site, (), Level.FULL).exit_code == 0, verify(site, (), Level.FULL)
    if there:
        assert verify_vault(site, (), Level.FULL).exit_code == 0
        assert not verify_audit(site).faults, verify_audit(site).faults
        assert (own / "audit.jsonl").read_bytes().startswith(known.audit), "an entry of the audit log is lost"
        prune(site, timedelta(days=1000))
        assert not list((own / "staging").iterdir())
        sums = ["sha256sum", "--quiet", "-c", "model_checksums.sha256"]
        assert subprocess.run(sums, cwd=play.vault, capture_output=True, check=False).returncode == 0
    assert not list(play.store.glob(".modelward/staging/*"))
    assert not list(play.state.glob("drill/*/*")), "a rehearsal was left lying about"
    left = [path for path in play.state.glob("*-*-*") if ".broken.db" not in path.name]  # of which _history has its say
    assert play.scene.words != ONCE or not left, f"a guard left {left}"


def _history(play: Play, known: Known) -> None:
    """The journal was never set aside, has what was acknowledged, and its points are those of its rows."""
    assert not list(play.state.glob("*.broken.db*")), "the journal was begun anew"
    found = read_journal(play.state)
    if found is None:
        assert not known.jobs
        return
    with closing(found) as journal:
        rows = journal.rows(JobRow, LONG_AGO, limit=1_000_000)
        running = [row.id for row in rows if row.outcome == "running"]
        assert known.jobs <= {row.id for row in rows}, "a job is lost"
        assert not running or play.scene.words[0] != "guard", "a job that nobody does is called running"
        _acknowledged(play, journal)


def _acknowledged(play: Play, journal: SqliteJournal) -> None:
    """What the chore that only writes the journal was told to be there is there, whole."""
    path = play.base / ACKNOWLEDGED
    if not path.exists():
        return
    told = dict(line.split(" ") for line in path.read_text().splitlines())
    ended = {row.id: row.outcome for row in journal.rows(JobRow, LONG_AGO, limit=1_000_000)}
    assert {job: outcome for job, outcome in told.items() if ended.get(job) not in (outcome, "done")} == {}
    counted = sum(point.count for point in journal.series(Series.CHECKS, LONG_AGO, subject="llama3"))
    assert counted == len(journal.rows(CheckRow, LONG_AGO, limit=1_000_000)), "points that are not those of the rows"


def torn(registry: FakeRegistry) -> dict[str, bytes]:
    """The manifests of which a blob is not there."""
    return {
        name: raw
        for name, raw in registry.manifests.items()
        if not set(re.findall(r"sha256:[0-9a-f]{64}", raw.decode())) <= registry.blobs.keys()
    }


def wrong(program: Program) -> list[Path]:
    """Files under a digest's name that have other bytes."""
    vault = program.vault / "blobs" / "sha256"
    named = [*program.store.glob("blobs/sha256-" + "?" * 64), *(vault.iterdir() if vault.exists() else ())]
    return [path for path in named if sha256(path) != path.name.removeprefix("sha256-")]
