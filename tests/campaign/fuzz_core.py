"""Parsers of what models, sources and this machine give as targets: a value or an error of ours, whatever the bytes."""

import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from modelward.bundles.reader import BundleReader, Stream, read_header
from modelward.domain.chunks import ChunkList
from modelward.domain.codec import decode
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.gguf import read_header as read_gguf
from modelward.domain.manifest import Manifest
from modelward.domain.name import ModelName
from modelward.domain.receipt import Ledger
from modelward.domain.snapshot import Protected, Snapshot, Trashed, VaultInfo, snapshot_id
from modelward.domain.store import Owner
from modelward.domain.timetable import Timetable
from modelward.domain.units import parse_bytes, parse_duration
from modelward.domain.wrapper import unwrap, wrap
from modelward.evidence.compose import definitions
from modelward.evidence.kernel import health_of, signs_in
from modelward.registry import challenge
from modelward.registry.address import Origin, parse
from modelward.runtimes import answers
from modelward.stores.locate import find_store
from modelward.testing import tiny_gguf
from modelward.vault import index
from modelward.vault.audit import Head, entry, faults, read_entry
from modelward.vault.remade import Clues, origin
from modelward.vault.sealed import sealed, unsealed
from tests.bundles.made import bundle_of, small_model
from tests.places import Place

Target = Callable[[bytes], object]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _name(data: bytes) -> None:
    name = ModelName.parse(_text(data))
    assert ModelName.parse(str(name)) == name
    for part in name.parts:
        assert part not in (".", "..", "")
        assert "/" not in part
        assert part.isprintable()


def _manifest(data: bytes) -> None:
    manifest = Manifest.parse(data)
    assert manifest.raw == data
    assert unwrap(wrap(manifest, {})).manifest.digest == manifest.digest


def _chunk_list(data: bytes) -> None:
    assert ChunkList.parse(data).encode() == data


@contextmanager
def _file(data: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def _bundle(data: bytes) -> None:
    """Every blob that the header names is brought, as an import does; ``finish`` proves the end."""
    reading = Place(Path("/nowhere")).reading()
    with _file(data) as fd:
        reader = BundleReader(fd, "fuzz")
        for _ in reader.header.blobs:
            reader.take(_Sink(), reading)  # type: ignore[arg-type] # all that it does with it
        reader.finish()


class _Sink:
    def write_at(self, view: memoryview, length: int, offset: int) -> None:
        """Take the bytes, and forget them."""


def _header(data: bytes) -> None:
    with _file(data) as fd:
        read_header(Stream(fd, "fuzz"))


def _gguf(data: bytes) -> None:
    read_gguf(lambda offset, length: data[offset : offset + length], len(data))


def _in_folder(name: str, use: Callable[[Path], object], data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        use(path)


def _unit(path: Path) -> object:
    root = path.parents[3]
    return find_store({}, root / "home", "linux", root=root)


def _audit(data: bytes) -> None:
    lines = data.split(b"\n")
    assert isinstance(faults(lines, Head()), tuple)
    read_entry(lines[0])


def _answers(data: bytes) -> None:
    for kind in (answers.Models, answers.Shown, answers.Step, answers.Said, answers.Embedded, answers.Version):
        try:
            answers.read(data, kind)
        except answers.NotOllama:
            continue
    answers.store_of(_text(data))
    assert len(answers.plain(_text(data))) < 400


def _challenge(data: bytes) -> None:
    origin = Origin("https", "registry.example", 443)
    place = challenge.where(data.decode("latin-1"), origin)  # as headers are
    assert place.origin.host == origin.host


def _setting(data: bytes) -> None:
    for read in (parse_bytes, parse_duration, Timetable.parse, Digest.parse):
        try:
            read(_text(data))
        except ModelwardError:
            continue


def _records(data: bytes) -> None:
    for kind in (Snapshot, VaultInfo, Protected, Head, Trashed, Ledger):
        try:
            decode(data, kind) if kind is Ledger else unsealed(data, kind)
        except ModelwardError:
            continue


def _damaged_record(data: bytes) -> None:
    """What is left of a record, and an index of any bytes; nothing has this id, so that all is tried."""
    nobody = "20260105T120000Z-000000000000"
    clues = Clues(others=(), kept={}, listed=index.listed(data), objects=(Digest("a" * 64),), owner=Owner(0, 0, 0))
    assert origin(nobody, data[:2000], clues) is None


TARGETS: Mapping[str, Target] = {
    "name": _name,
    "digest": lambda data: Digest.parse(_text(data)),
    "manifest": _manifest,
    "wrapper": unwrap,
    "chunk list": _chunk_list,
    "bundle": _bundle,
    "bundle header": _header,
    "gguf": _gguf,
    "compose": partial(_in_folder, "compose.yaml", lambda path: definitions(path, {})),
    "kernel log": lambda data: list(signs_in(_text(data).splitlines(), ("sda1",))),
    "drive": lambda data: health_of("sda", data),
    "unit": partial(_in_folder, "etc/systemd/system/ollama.service", _unit),
    "audit": _audit,
    "answers": _answers,
    "challenge": _challenge,
    "token": lambda data: challenge.read(data, Origin("https", "registry.example", 443)),
    "address": lambda data: parse(data.decode("latin-1")),
    "settings": _setting,
    "records": _records,
    "damaged record": _damaged_record,
}


def seeds() -> dict[str, tuple[bytes, ...]]:
    """Inputs to begin with, so that a mutation reaches what lies behind the first check."""
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "a" * 64, "size": 5}
    raw = json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer]}).encode()
    manifest = Manifest.parse(raw)
    listed = ChunkList(blob=Digest("a" * 64), size=3 << 20, hashes=bytes(96)).encode()
    line, _ = entry(Head(), datetime(2026, 1, 5, tzinfo=UTC), "backup", {"model": "llama3", "bytes": 5})
    compose = b"services:\n  ollama:\n    image: ollama/ollama\n    volumes: [m:/root/.ollama]\nvolumes: {m: {}}\n"
    unit = b'[Service]\nEnvironment="OLLAMA_MODELS=/srv/models" A=b\nUser=ollama\n'
    return {
        "name": (b"registry.ollama.ai/library/llama3:latest", b"host:5000/a/b:c", b"llama3"),
        "digest": (b"sha256:" + b"a" * 64,),
        "manifest": (raw,),
        "wrapper": (wrap(manifest, {}),),
        "chunk list": (listed,),
        "bundle": (_bundled(), b"MWBUNDLE" + struct.pack("<IIQQ", 1, 0, 2, 0) + bytes(32) + b"{}"),
        "bundle header": (b"MWBUNDLE" + struct.pack("<IIQQ", 1, 0, 2, 0) + bytes(32) + b"{}",),
        "gguf": (tiny_gguf(),),
        "compose": (compose,),
        "kernel log": (b"[1.5] EXT4-fs error (device sda1): ext4_find_entry\n[2.0] I/O error, dev sda, sector 5\n",),
        "drive": (b'{"smart_status":{"passed":true},"ata_smart_attributes":{"table":[{"id":5,"raw":{"value":3}}]}}',),
        "unit": (unit,),
        "audit": (line,),
        "answers": (b'{"models":[{"name":"llama3","digest":"a","size":1}],"status":"success"}',),
        "challenge": (b'Bearer realm="https://registry.example/token",service="x",scope="y"',),
        "token": (b'{"token":"abc","expires_in":60}',),
        "address": (b"https://registry.example:443/v2/?x=y",),
        "settings": (b"1.5GiB", b"36h", b"22:00-06:00"),
        "records": (b'{"id":"x","format":1,"chunk_size":1048576}', b'{"released":[],"pins":{}}', sealed(Protected())),
        "damaged record": (
            b'{"model": "registry.ollama.ai/library/llama3:latest", "wrapper": "sha256:' + b"b" * 64 + b'"}',
            index.build([_snapshot()], {}),
        ),
    }


def _snapshot() -> Snapshot:
    made = datetime(2026, 1, 5, tzinfo=UTC)
    model, digest = ModelName.parse("llama3"), Digest("a" * 64)
    return Snapshot(
        id=snapshot_id(made, model, digest),
        model=model,
        created_at=made,
        verified_at=made,
        wrapper=digest,
        manifest=digest,
        size=5,
        store="/srv/models",
        owner=Owner(0, 0, 0o644),
    )


def _bundled() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return bundle_of(Path(folder), small_model())
