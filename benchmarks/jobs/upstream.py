"""Heal and download from a registry on loopback: one damaged chunk by its range, and a whole model."""

import json
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.ground import MODEL, Blob, Ground, warm
from benchmarks.jobs.repair import Wound
from benchmarks.race import Contender, Row
from benchmarks.registry import NoRegistry, serving
from benchmarks.result import Result, Table, Target, not_slower, row_of

_CHUNK = 1 << 20
_VERIFY, _REPAIR = "modelward verify", "modelward repair, from the registry"
_PULL, _SKOPEO = "modelward pull", "skopeo copy"
_FOUND = 3  # the exit code of verify for damage that the vault cannot repair


def ranges(bench: Bench) -> Result:
    """The vault knows the chunk hashes and has lost the blob, so that the registry has to give the chunk."""
    ground, blob = bench.ground, bench.blob
    ground.need_vault()
    copy, aside = ground.vault / "blobs" / "sha256" / blob.hex, ground.base / "aside"
    copy.rename(aside)
    try:
        with serving(ground, blob) as address:
            rows = bench.race(ground, _chunk(blob, address))
    except NoRegistry as missing:
        rows = (Row(label=_REPAIR, skipped=str(missing)), Row(label=_VERIFY, skipped=str(missing)))
    finally:
        aside.rename(copy)
        ground.drop(ground.vault)  # its receipts say that the blob was gone
    table = Table(
        title="Repair of one damaged page from a registry",
        about="As before, with the blob gone from the vault: the damaged chunk comes from docker-registry on loopback.",
        rows=rows,
    )
    return Result(job="upstream", tables=(table,), targets=_targets(rows))


def _chunk(blob: Blob, address: str) -> tuple[Contender, ...]:
    wound, environ = Wound(blob), _mirror(address)
    hurt = (wound.inflict, partial(warm, blob.path))
    return (
        Contender.ours("verify", label=_VERIFY, before=hurt, codes=(_FOUND,), environ=environ),
        Contender.ours("repair", "--json", label=_REPAIR, before=hurt, after=(wound.close,), environ=environ),
    )


def _mirror(address: str) -> dict[str, str]:
    return {"MODELWARD_UPSTREAM": "true", "MODELWARD_MIRRORS": f"registry.ollama.ai=http://{address}"}


def _targets(rows: tuple[Row, ...]) -> tuple[Target, ...]:
    repair, verify = row_of(rows, _REPAIR), row_of(rows, _VERIFY)
    wire = "one damaged chunk from a registry: at most 1.10 times its bytes"
    time = "one damaged chunk from a registry: at most verify and 0.5 s"
    if not repair.runs:
        return tuple(Target(text=text, measured=repair.skipped, met=None) for text in (wire, time))
    moved = max(json.loads(run.out)["bytes_moved"] for run in repair.runs)
    more = repair.seconds - verify.seconds
    return (
        Target(text=wire, measured=f"{moved / _CHUNK:.2f} times", met=moved <= 1.10 * _CHUNK),
        Target(text=time, measured=f"verify and {more:.3f} s", met=more <= 0.5),
    )


def whole(bench: Bench) -> Result:
    """A model that the store and the vault do not have, beside the tool for copying out of registries."""
    ground, blob = bench.ground, bench.blob
    try:
        with serving(ground, blob) as address:
            rows = bench.race(ground, _download(bench, ground, address))
    except NoRegistry as missing:
        rows = (Row(label=_PULL, skipped=str(missing)), Row(label=_SKOPEO, skipped=str(missing)))
    table = Table(
        title="Download of a whole model from a registry",
        about="From docker-registry on loopback into an empty folder. Modelward has it on the disk before it says so, "
        "and proves it in the same pass; skopeo hashes what it copies, and the second one waits for the disk.",
        rows=rows,
        size=blob.size,
    )
    text = "download of a whole model: at least the speed of skopeo copy"
    return Result(job="pull", tables=(table,), targets=(not_slower(text, row_of(rows, _PULL), row_of(rows, _SKOPEO)),))


def _download(bench: Bench, ground: Ground, address: str) -> tuple[Contender, ...]:
    ours, theirs = ground.base / "pulled", ground.base / "skopeo"
    empty = (partial(ground.drop, ours, theirs), partial(_make, ours))
    environ = {**_mirror(address), "MODELWARD_STORE": str(ours), "MODELWARD_VAULT": str(ground.base / "no vault")}
    source, target = f"docker://{address}/library/{MODEL}:oci", f"dir:{theirs}"
    copy = ("skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", source, target)
    synced = f'"$@" && sync -f "{theirs}"'
    return (
        Contender.ours("pull", MODEL, label=_PULL, before=empty, after=empty, environ=environ),
        bench.peer("skopeo", _SKOPEO, *copy, before=empty, after=empty),
        bench.peer("skopeo", f"{_SKOPEO} && sync -f", "sh", "-c", synced, "sh", *copy, before=empty, after=empty),
    )


def _make(store: Path) -> None:
    """An empty store."""
    (store / "blobs").mkdir(parents=True)
