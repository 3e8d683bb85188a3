"""The ground that a job works on: a store, and the vault and the peers' repositories that are made of it on demand."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Failed, Run, last_words, measure
from benchmarks.race import Contender
from modelward.testing import FakeStore

MODEL = "bench"
FIRST = "first"  # the name of the first archive in borg's repository
_PIECE = 8 << 20
_NOWHERE = "127.0.0.1:9"  # no server answers here, so none is asked what it serves


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """The big blob of the store: its file, its 64 hex digits and its size in bytes."""

    path: Path
    hex: str
    size: int


class Ground:
    """A folder with the store in ``store``, and beside it what is made of the store when a job first asks for it."""

    def __init__(self, base: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        for name in ("home", "tmp"):
            (base / name).mkdir(parents=True, exist_ok=True)
        self.base = base
        self.store, self.vault, self.fresh = base / "store", base / "vault", base / "fresh"
        self.restic, self.borg, self.copy = base / "restic", base / "borg", base / "copy"
        self._say = say
        self._made: set[Path] = set()
        self.environ = {
            "PATH": environ.get("PATH", os.defpath),
            **_modules(environ.get("PYTHONPATH", "")),
            "LC_ALL": "C.UTF-8",
            "HOME": str(base / "home"),
            "TMPDIR": str(base / "tmp"),
            "OLLAMA_HOST": _NOWHERE,
            "MODELWARD_STORE": str(self.store),
            "MODELWARD_VAULT": str(self.vault),
            "MODELWARD_UPSTREAM": "false",
            "RESTIC_PASSWORD": "benchmark",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_BASE_DIR": str(base / "home"),
        }

    @property
    def manifest(self) -> Path:
        """Where the big model's manifest is, or was."""
        return FakeStore(self.store).manifest_path(MODEL)

    def measure(self, contender: Contender) -> Run:
        """Run a contender's command with this ground as its working folder."""
        return measure(contender.command, environ={**self.environ, **contender.environ}, cwd=self.base)

    def do(self, *command: str) -> Run:
        """Run a command that prepares something; raises Failed when it fails."""
        run = measure(command, environ=self.environ, cwd=self.base)
        if run.code:
            raise Failed(f"{' '.join((Path(command[0]).name, *command[1:4]))}: {last_words(run)}")
        return run

    def modelward(self, *words: str) -> Run:
        """Run a verb of Modelward that prepares something."""
        return self.do(*Contender.ours(*words).command)

    def need_vault(self) -> None:
        """Make the vault, unless it is there."""
        self._once(self.vault, lambda: self.modelward("backup"))

    def need_restic(self) -> None:
        """Make restic's repository with the store in it, unless it is there."""
        self._once(self.restic, self._fill_restic)

    def need_borg(self) -> None:
        """Make borg's repository with the store in it, unless it is there."""
        self._once(self.borg, self._fill_borg)

    def need_copy(self) -> None:
        """Make what rsync takes for an up-to-date copy: names, sizes and times are right, big files are holes."""
        self._once(self.copy, lambda: shutil.copytree(self.store, self.copy, copy_function=_hollow))

    def init_restic(self, repository: Path) -> None:
        """An empty repository of restic's."""
        self.do("restic", "-r", str(repository), "init")

    def init_borg(self, repository: Path) -> None:
        """An empty repository of borg's."""
        self.do("borg", "init", "--encryption", "none", str(repository))

    def restic_backup(self, repository: Path) -> Sequence[str]:
        """The command that backs up the store with restic's defaults."""
        return ("restic", "-r", str(repository), "backup", "store")

    def borg_create(self, repository: Path, archive: str = "{uuid4}") -> Sequence[str]:
        """The command that backs up the store with borg's default compression, lz4; the name is made by borg."""
        return ("borg", "create", "--compression", "lz4", f"{repository}::{archive}", "store")

    def drop(self, *folders: Path) -> None:
        """Remove what was made, and wait until the disk is at rest."""
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            self._made.discard(folder)
        os.sync()

    def _fill_restic(self) -> None:
        self.init_restic(self.restic)
        self.do(*self.restic_backup(self.restic))

    def _fill_borg(self) -> None:
        self.init_borg(self.borg)
        self.do(*self.borg_create(self.borg, FIRST))

    def _once(self, folder: Path, make: Callable[[], object]) -> None:
        if folder in self._made:
            return
        self._say(f"  preparing {folder.name}")
        self.drop(folder)
        make()
        self._made.add(folder)
        os.sync()


def big_store(root: Path, size: int, piece: Callable[[int], bytes] = os.urandom) -> Blob:
    """An Ollama-shaped store of one model with ``size`` random bytes, which stand for quantised weights.

    ``piece`` makes other bytes, of which it is given the number. A second, tiny model keeps the store from being empty
    while the big one is lost.
    """
    store = FakeStore(root)
    store.add_model("other", b"not lost")
    draft = root / "draft"
    with draft.open("wb") as file:
        digest = _fill(file.write, size, piece)
    path = draft.rename(store.blob_path(digest))
    path.chmod(0o644)
    config, template = b'{"model_format":"gguf","model_family":"llama","os":"linux"}\n', b"{{ .Prompt }}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": _layer("application/vnd.docker.container.image.v1+json", store.add_blob(config), len(config)),
        "layers": [
            _layer("application/vnd.ollama.image.model", digest, size),
            _layer("application/vnd.ollama.image.template", store.add_blob(template), len(template)),
        ],
    }
    store.add_manifest(MODEL, json.dumps(manifest, separators=(",", ":")).encode())
    os.sync()
    return Blob(path=path, hex=digest, size=size)


def crowded_store(root: Path, models: int, blobs_each: int) -> None:
    """A store of many models of tiny blobs; ``blobs_each`` counts the config."""
    store = FakeStore(root)
    for model in range(models):
        store.add_model(f"crowd{model:04}", [f"{model} {blob}".encode() for blob in range(blobs_each - 1)])
    os.sync()


def warm(path: Path) -> None:
    """Bring a file, or all files below a folder, into the page cache."""
    buffer = memoryview(bytearray(1 << 20))
    for file in (path, *path.rglob("*")):
        if file.is_file() and not file.is_symlink():
            with file.open("rb", buffering=0) as opened:
                while opened.readinto(buffer):
                    pass


def _modules(path: str) -> dict[str, str]:
    """The same PYTHONPATH for a process that works in another folder; none where there is none."""
    folders = [str(Path(entry).absolute()) for entry in path.split(os.pathsep) if entry]
    return {"PYTHONPATH": os.pathsep.join(folders)} if folders else {}


def _layer(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _fill(write: Callable[[bytes], int], size: int, make: Callable[[int], bytes]) -> str:
    """Write ``size`` bytes; their SHA-256."""
    sha = hashlib.sha256()
    for start in range(0, size, _PIECE):
        piece = make(min(_PIECE, size - start))
        sha.update(piece)
        write(piece)
    return sha.hexdigest()


def _hollow(source: str, target: str) -> str:
    with Path(target).open("wb") as file:
        file.truncate(Path(source).stat().st_size)
    shutil.copystat(source, target)
    return target
