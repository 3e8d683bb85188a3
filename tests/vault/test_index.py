"""The index and the checksum file are made of the records, and of nothing else."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.snapshot import Snapshot, newest_first, snapshot_id
from modelward.domain.store import Owner
from modelward.vault.index import build, checksums, fits

BEGIN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
REF = "org.opencontainers.image.ref.name"


def record(model: str, minute: int, wrapper: int = 1) -> Snapshot:
    """A snapshot record."""
    at, digest, name = BEGIN + timedelta(minutes=minute), Digest(f"{wrapper:064x}"), ModelName.parse(model)
    return Snapshot(
        id=snapshot_id(at, name, digest),
        model=name,
        created_at=at,
        verified_at=at,
        wrapper=digest,
        manifest=Digest("a" * 64),
        size=1,
        store="/store",
        owner=Owner(0, 0, 0o644),
    )


records = st.builds(record, st.sampled_from(["a", "b:1", "hf.co/u/m:Q4"]), st.integers(0, 50), st.integers(1, 9))
histories = st.lists(records, max_size=8, unique_by=lambda snapshot: snapshot.id).map(
    lambda found: newest_first(tuple(found))
)


@given(histories)
def test_every_snapshot_has_its_names(snapshots: tuple[Snapshot, ...]) -> None:
    """Each under ``name@id``; the newest of a model under the plain name as well; no name stands twice."""
    sizes = {snapshot.wrapper: int(snapshot.wrapper.hex, 16) for snapshot in snapshots}
    index = json.loads(build(snapshots, sizes))
    named = {item["annotations"][REF]: item for item in index["manifests"]}
    assert len(named) == len(index["manifests"])
    newest = {snapshot.model: snapshot for snapshot in reversed(snapshots)}
    wanted = {str(model): snapshot for model, snapshot in newest.items()}
    wanted |= {f"{snapshot.model}@{snapshot.id}": snapshot for snapshot in snapshots}
    assert {name: item["digest"] for name, item in named.items()} == {
        name: str(snapshot.wrapper) for name, snapshot in wanted.items()
    }
    assert all(item["size"] == int(item["digest"][7:], 16) for item in named.values())


def test_the_index_is_an_oci_image_index() -> None:
    """Schema version, media types and annotations as the image specification wants them."""
    index = json.loads(build((record("llama3", 0),), {}))
    assert index["schemaVersion"] == 2
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    item = index["manifests"][0]
    assert item["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert item["artifactType"] == "application/vnd.modelward.model.v1"
    assert item["annotations"]["org.opencontainers.image.created"] == "2026-01-05T12:00:00+00:00"


@given(histories, histories)
def test_an_index_knows_what_it_was_made_of(one: tuple[Snapshot, ...], two: tuple[Snapshot, ...]) -> None:
    """It is out of date exactly when there are other records or other checksums; their order does not matter."""
    index = build(one, {}, b"sums")
    assert fits(index, one, b"sums")
    assert fits(index, one[::-1], b"sums")
    assert not fits(index, one, b"other sums")
    assert fits(index, two, b"sums") == ({s.id for s in one} == {s.id for s in two})


@given(st.data())
def test_a_damaged_index_fits_nothing(data: st.DataObject) -> None:
    """Whichever byte of it is another one, or is not there; it is made anew then."""
    snapshots = (record("llama3", 1), record("llama3", 0))
    index = build(snapshots, {})
    at, byte = data.draw(st.integers(0, len(index) - 1)), data.draw(st.integers(0, 255))
    bad = index[:at] + bytes([byte]) + index[at + 1 :]
    assert fits(bad, snapshots) == (bad == index)
    assert not fits(index[:at], snapshots)
    assert not fits(index + b"x", snapshots)


def test_checksums_are_lines_of_sha256sum() -> None:
    """Digest, two blanks, the path below the vault's root; sorted, so that the file says nothing of the order."""
    one, two = Digest("1" * 64), Digest("2" * 64)
    assert checksums({two: 5, one: 6}) == b"%b  blobs/sha256/%b\n%b  blobs/sha256/%b\n" % (
        (one.hex.encode(),) * 2 + (two.hex.encode(),) * 2
    )
    assert checksums({}) == b""
