"""The corpus of attacks: names, digests, manifests, links and bundles that want a file outside the roots opened."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.bundles.made import bundle_of, raw_record, sealed, small_model, zstd_record

_BAD_PARTS = (
    "..",
    ".",
    "",
    "../..",
    "..%2f..",
    "a/../b",
    "/etc/passwd",
    "//etc//passwd",
    "..\\..\\etc",
    "C:\\windows",
    "a\0b",
    "a\nb",
    "a\rb",
    "a\tb",
    "\x1b[31mred",
    " leading",
    "-option",
    "--help",
    "$(id)",
    "`id`",
    "a;id",
    "a|id",
    "a&b",
    "a*",
    "a?",
    "~root",
    "a" * 5000,
    "é",
    "a\u202eb",
    "a\u2028b",
    "\uff0e\uff0e",
    "\u2024\u2024",
    "%2e%2e",
    "%00",
    ".hidden",
    "a@b",
    "a#b",
    "{{x}}",
    "<script>",
    "\udcff",
    "CON ",
    "a:b:c",
    "@latest",
    "'quoted'",
    '"quoted"',
)


def names() -> Iterator[str]:
    """Model names with a bad part in each place."""
    for bad in _BAD_PARTS:
        yield bad
        yield f"{bad}/library/llama3:latest"
        yield f"registry.ollama.ai/{bad}/llama3:latest"
        yield f"registry.ollama.ai/library/llama3:{bad}"


def digests() -> Iterator[str]:
    """Texts that stand where a digest should."""
    hexes = "a" * 64
    yield from ("", "sha256:", f"sha256:{hexes[:-1]}", f"sha256:{hexes}a", f"sha256:{hexes.upper()}", f"SHA256:{hexes}")
    yield from (
        f"sha512:{hexes * 2}",
        f"md5:{hexes[:32]}",
        hexes,
        f"sha256-{hexes}",
        f"sha256:{hexes}\n",
        f" sha256:{hexes}",
    )
    yield from (
        f"sha256:{'../' * 21}x",
        f"sha256:/etc/passwd{'a' * 53}",
        f"sha256:{hexes[:62]}/.",
        f"sha256:{hexes[:60]}%2e.",
    )
    yield from (
        f"sha256:{hexes}\0",
        f"sha256:\0{hexes[1:]}",
        f"sha256:{'é' * 64}",
        f"sha256:{'٣' * 64}",
        f"sha256:{hexes}/../x",
    )
    yield from ("sha256:" + "g" * 64, "sha256:" + "-" * 64, "sha256:" + " " * 64, "sha256:" + "a" * 10_000)


def manifests() -> Iterator[bytes]:
    """Bytes that stand where a manifest should."""
    good = {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": 5}
    for bad in digests():
        yield _manifest(good, good | {"digest": bad})
    for size in (-1, 1 << 51, 1 << 70, 1.5, "5", True, None, [5]):
        yield _manifest(good, good | {"size": size})
    texts: tuple[object, ...] = ("a\0b", "a\nb", "\x1b[31m", "é" * 300, 5, None, [], "a" * 5000)
    for text in texts:
        yield _manifest(good, good | {"mediaType": text})
        yield _manifest(good, good | {"name": text})
    yield from (b"", b"\0" * 500, b"null", b"[]", b'"x"', b"{", b"{}", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 5000)
    yield from (b'{"schemaVersion":2,"schemaVersion":2}', b'{"schemaVersion":NaN}', b'{"schemaVersion":1e400}')
    yield from (b'{"schemaVersion":2,"layers":{}}', b'{"schemaVersion":2,"layers":[5]}', b'{"schemaVersion":true}')
    yield _manifest(good, *[good | {"digest": f"sha256:{number:064x}"} for number in range(10_001)])
    yield _manifest(good, good | {"size": 6})
    yield b'{"schemaVersion":2,"config":' + b" " * (5 << 20) + b"null}"
    yield b'{"schemaVersion":' + b"9" * 10_000 + b"}"


def _manifest(config: object, *layers: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()


def links() -> Iterator[tuple[str, str]]:
    """Where (below the base) something else is put, and what: links out, a FIFO, a link to itself."""
    store, vault = "store/", "vault/"
    places = [
        *(
            store + name
            for name in ("blobs", "manifests", "manifests/registry.ollama.ai", "manifests/registry.ollama.ai/library")
        ),
        *(store + name for name in ("manifests/registry.ollama.ai/library/llama3", "MANIFEST", "BLOB", ".modelward")),
        *(store + f".modelward/{name}" for name in ("staging", "quarantine", "lock")),
        *(
            vault + name
            for name in ("blobs", "blobs/sha256", "OBJECT", "modelward", "index.json", "model_checksums.sha256")
        ),
        *(vault + f"modelward/{name}" for name in ("snapshots", "staging", "trash", "quarantine", "receipts", "lock")),
        *(
            vault + f"modelward/{name}"
            for name in ("vault.json", "audit.jsonl", "audit-head.json", "audit.lock", "RECORD")
        ),
        *(vault + f"modelward/{name}" for name in ("receipts/vault.json", "receipts/lock", "protection.json")),
    ]
    for place in places:
        for what in ("link out", "link to a secret", "FIFO", "loop"):
            yield place, what


def bundles(folder: Path) -> Iterator[bytes]:
    """Bundles that lie."""
    good = bundle_of(folder, small_model())
    for at in range(0, min(len(good), 4000), 130):
        yield good[:at] + bytes([good[at] ^ 0x41]) + good[at + 1 :]
    for cut in range(0, len(good), max(1, len(good) // 12)):
        yield good[:cut]
    evil = {"models": [{"name": "../x", "manifest": ""}], "blobs": []}
    documents: tuple[object, ...] = ({}, [], {"models": [], "blobs": []}, evil)
    yield from map(sealed, documents)
    for bad in digests():
        yield sealed({"models": [{"name": "x", "manifest": ""}], "blobs": [{"digest": bad, "size": 5}]})
    yield from (sealed(b"\0" * 100), good + b"more", raw_record(b"x"), zstd_record(b"\x28\xb5\x2f\xfd" + b"\xff" * 50))
