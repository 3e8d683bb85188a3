"""Our own files as targets: whatever lies in vault, state folder or settings, reading it gives a value or our error."""

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from modelward import config
from modelward.api.tokens import Tokens
from modelward.cli import readiness
from modelward.domain.access import Scope
from modelward.domain.alerting import Book
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.history import CheckRow, JobRow
from modelward.domain.name import ModelName
from modelward.domain.receipt import FileId
from modelward.domain.retention import Policy
from modelward.durable import Folder
from modelward.evidence.damage import _Collector, _part
from modelward.evidence.host import servers
from modelward.evidence.kernel import Host
from modelward.evidence.smart import _document, _reading
from modelward.journal.schema import TABLES
from modelward.journal.sqlite import FILE, open_journal, read_journal
from modelward.mounts import _mount
from modelward.notify import secret_file
from modelward.services.adopt_layout import from_layout
from modelward.services.backup import backup
from modelward.services.hand_out import _read_index
from modelward.services.protect import release
from modelward.services.retention import forget
from modelward.sources.sibling_index import Hashed, Known, SiblingIndex
from modelward.testing import FakeStore
from tests.places import BEGIN, Place

Target = Callable[[bytes], object]
LLAMA = ModelName.parse("llama3")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@cache
def _place() -> Place:
    """One store and vault for a whole run: a model in two versions, one of them forgotten."""
    base = Path(tempfile.mkdtemp(prefix="modelward-fuzz-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    place = Place(base)
    store = FakeStore(place.store)
    for weights in (b"old", b"new"):
        store.add_model("llama3", weights, template=b"{{ .Prompt }}")
        backup(place.site(), ())
        place.clock.advance(days=1)
    forget(place.site(), (), Policy(keep_last=1))
    store.add_model("mini", b"mini")
    backup(place.site(), ())
    release(place.site(), ModelName.parse("mini"))
    site = place.site()
    assert site.vault is not None
    site.vault.keep_manifests([(LLAMA, site.store.read_manifest(LLAMA).raw, site.store.default_owner())])
    return place


def _file(pattern: str) -> Path:
    return min(path for path in _place().base.glob(pattern) if path.is_file())


def _on(pattern: str, use: Callable[[Place], object], data: bytes) -> None:
    """Have the file hold these bytes while it is used; then everything is as it was."""
    path = _file(pattern)
    own = _place().vault / "modelward"
    before = {each: (each.read_bytes(), each.stat().st_mode) for each in (path, *own.glob("audit*.js*"))}
    _write(path, data, before[path][1])
    try:
        use(_place())
    finally:
        for each, (good, mode) in before.items():
            _write(each, good, mode)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _vault(use: Callable[..., object]) -> Callable[[Place], object]:
    return lambda place: use(place.site(make_vault=False).the_vault())


def _log(place: Place) -> None:
    vault = place.site().the_vault()
    list(vault.audit_entries())
    assert isinstance(vault.audit_faults(), tuple)
    vault.audit("fuzz")


def _ledger(place: Place) -> None:
    site = place.site()
    site.ledgers.ledger("vault")
    site.ledgers.ledger(site.store_key)


def _known(place: Place) -> None:
    site = place.site()
    site.the_vault().known_store(site.store.path)


def _written(name: str, use: Callable[[Path], object], data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
        use(path)


def _settings(path: Path) -> None:
    flags = {"config": str(path)}
    resolved = config.resolve(flags, {}, platform="linux", home=path.parent, cwd=path.parent)
    config.resolve(
        {},
        dict.fromkeys((config.SETTINGS[0].environment[0],), "x"),
        platform="linux",
        home=path.parent,
        cwd=path.parent,
    )
    assert len(resolved.origins) == len(config.SETTINGS)


def _tokens(path: Path) -> None:
    tokens = Tokens(path.parent, _place().clock)
    tokens.list()
    tokens.check("mw_x")


def _siblings(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = SiblingIndex(Path(folder), Path("/srv"), _place().clock)
        (Path(folder) / index._name).write_bytes(data)  # noqa: SLF001 - where it is, is its own affair
        index.sizes_of("a" * 64)


def _journal(path: Path) -> None:
    for journal in (read_journal(path.parent), open_journal(path.parent, _place().clock).journal):
        assert journal is not None
        with closing(journal):
            for kind in TABLES:
                if kind.__name__ != "Flip":
                    journal.rows(kind, LONG_AGO)
            journal.flips(LONG_AGO)
            journal.get("book", Book)


@cache
def _good_journal() -> bytes:
    """A journal with rows of some kinds, written by ourselves."""
    with tempfile.TemporaryDirectory() as folder:
        with closing(open_journal(Path(folder), _place().clock).journal) as journal:
            journal.add([CheckRow(at=BEGIN, model="llama3", healthy=None, recoverable=True, ready=True)])
            journal.put("book", Book())
            journal.job_begin(JobRow(id="1", kind="verify", models=("llama3",), cause="test", began_at=BEGIN))
            journal.compact(BEGIN)
        with closing(sqlite3.connect(Path(folder) / FILE)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode=DELETE")
        return (Path(folder) / FILE).read_bytes()


def _cells(data: bytes) -> None:
    """Rows whose cells hold these bytes, as a damaged page or another hand leaves them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_bytes(_good_journal())
        path.chmod(0o600)
        text = data.decode("utf-8", "replace").replace("\0", "")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE jobs SET models = ?", (text,))
            connection.execute("UPDATE documents SET value = ?", (data,))
            connection.commit()
        _journal(path)


def _layout(path: Path) -> None:
    (path.parent / "blobs" / "sha256").mkdir(parents=True)
    (path.parent / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for read in (
        lambda: from_layout(_place().site(), path.parent, None, True),  # noqa: FBT003 - one of its three
        lambda: _read_index(Folder.open(path.parent)),
    ):
        try:
            read()
        except ModelwardError:
            continue


def _config_blob(data: bytes) -> None:
    """An orphan that looks like a model's config, and the sidecar of a download."""
    place = _place()
    blob = Digest("e" * 64)
    path = place.store / "blobs" / f"sha256-{blob.hex}"
    path.write_bytes(data)
    try:
        store = place.site().store
        looker = object.__new__(_Collector)
        looker._root, looker._inventory = Folder.open(place.store), store.inventory()
        looker._layers_of_config(blob)
    finally:
        path.unlink()
    _part(data)


def _processes(data: bytes) -> None:
    """``/proc`` as a process of another user can make it look, and the table of mounts."""
    with tempfile.TemporaryDirectory() as folder:
        proc = Path(folder) / "proc" / "7"
        proc.mkdir(parents=True)
        (proc / "cmdline").write_bytes(b"/usr/bin/ollama\0serve\0")
        (proc / "environ").write_bytes(data)
        servers(root=Path(folder))
        (proc / "cmdline").write_bytes(data)
        servers(root=Path(folder))
    _mount("/srv/models", data.decode("utf-8", "surrogateescape"))


def _smart(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "smartctl"
        program.write_text(f"#!/bin/sh\ncat '{folder}/said'\n")
        program.chmod(0o700)
        (Path(folder) / "said").write_bytes(data)
        host = Host.of({"PATH": f"{folder}:/usr/bin:/bin"})
        _reading("sda", _document(host, _place().clock, "sda", []), BEGIN)


TARGETS: Mapping[str, Target] = {
    "vault: vault.json": partial(_on, "vault/modelward/vault.json", _vault(lambda vault: vault.path)),
    "vault: record": partial(_on, "vault/modelward/snapshots/*", _vault(lambda vault: vault.snapshots())),
    "vault: trash": partial(_on, "vault/modelward/trash/*", _vault(lambda vault: vault.trashed())),
    "vault: released models": partial(_on, "vault/modelward/protection.json", _vault(lambda vault: vault.protected())),
    "vault: head of the log": partial(_on, "vault/modelward/audit-head.json", _log),
    "vault: log": partial(_on, "vault/modelward/audit.jsonl", _log),
    "vault: receipts": partial(_on, "vault/modelward/receipts/vault.json", _ledger),
    "vault: receipts of the store": partial(_on, "vault/modelward/receipts/store-*[!y].json", _ledger),
    "vault: identity of the store": partial(_on, "vault/modelward/receipts/*-identity.json", _known),
    "vault: kept manifest": partial(
        _on, "vault/modelward/manifests/*.json", _vault(lambda vault: vault.kept_manifests())
    ),
    "vault: index": partial(_on, "vault/index.json", lambda place: backup(place.site(), ())),
    "layout: index": partial(_written, "index.json", _layout),
    "settings file": partial(_written, "modelward.toml", _settings),
    "secret file": partial(_written, "secret", lambda path: secret_file.single(str(path), "webhook_secret_file")),
    "tokens": partial(_written, "tokens.json", _tokens),
    "known siblings": _siblings,
    "journal": partial(_written, FILE, _journal),
    "journal: cells": _cells,
    "config of an orphan": _config_blob,
    "processes": _processes,
    "smartctl": _smart,
    "answer to health": readiness._verdict,  # noqa: SLF001 - what it makes of a guard's answer
}


def seeds() -> dict[str, tuple[bytes, ...]]:
    """The good bytes of each, as we write them ourselves."""
    place = _place()
    patterns = {
        name: target.args[0] for name, target in TARGETS.items() if isinstance(target, partial) and target.func is _on
    }
    found = {name: (_file(pattern).read_bytes(),) for name, pattern in patterns.items()}
    tokens = Tokens(place.base / "state", place.clock)
    if not tokens.list():
        from datetime import timedelta

        tokens.create("one", Scope.READ, timedelta(days=1))
    from modelward.domain.codec import encode

    hashed = Hashed(FileId(2, 3, 4, 5), "a" * 64, 6)
    smart = b'{"smart_status":{"passed":true},"ata_smart_attributes":{"table":[{"id":5,"raw":{"value":3}}]}}'
    return found | {
        "layout: index": ((place.vault / "index.json").read_bytes(),),
        "settings file": (b'store = "/srv"\nmodels = ["llama3"]\nscrub_rate = "5MB"\npolicies = ["llama3=alert"]\n',),
        "secret file": (b"# ours\nhush\n",),
        "tokens": ((place.base / "state" / "tokens.json").read_bytes(),),
        "known siblings": (encode(Known(hashed=(hashed,))),),
        "journal": (_good_journal(),),
        "journal: cells": (b'["llama3"]', b"{}"),
        "config of an orphan": (
            b'{"model_format":"gguf","rootfs":{"diff_ids":["sha256:' + b"a" * 64 + b'"]}}',
            b'{"Size":5,"Completed":3}',
        ),
        "processes": (
            b"OLLAMA_MODELS=/srv/models\0HOME=/root\0",
            b"36 35 98:0 /mnt1 /srv rw,noatime - ext3 /dev/root rw\n",
        ),
        "smartctl": (smart,),
        "answer to health": (b"HTTP/1.1 503 No\r\n\r\nnot yet\n", b"HTTP/1.1 200 OK\r\n\r\n"),
    }
