"""Objects of the vault are given out proved: damage of any kind is an error before the last byte has left."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import BlobMissing, DamageError, HashMismatch, ReadFailed
from modelward.domain.wrapper import Object
from modelward.ports import Vault
from modelward.services.backup import backup
from modelward.services.objects import object_bytes, proved
from modelward.testing import FakeStore, corrupt
from tests.models import pattern
from tests.places import Place

WEIGHTS = pattern(2 * CHUNK + 5)
NAME = Digest(sha256(WEIGHTS).hexdigest())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A vault with a model of more than two chunks, a template, and an empty layer."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}", system=b"")
    backup(place.site(), ())
    return place


def given(vault: Vault, blob: Digest, size: int) -> tuple[list[bytes], DamageError | None]:
    """All parts of an object that are given out, and the error that ends them."""
    parts: list[bytes] = []
    fd = vault.open_blob(blob)
    try:
        parts.extend(proved(vault, fd, Object(digest=blob, size=size)))
    except DamageError as error:
        return parts, error
    finally:
        os.close(fd)
    return parts, None


@pytest.mark.parametrize("data", [WEIGHTS, b"{{ .Prompt }}", b""], ids=["three chunks", "one", "empty"])
def test_an_object_is_given_out_whole(place: Place, data: bytes) -> None:
    """In pieces of a chunk at most, or at once where it is small enough."""
    vault, blob = place.site().the_vault(), Digest(sha256(data).hexdigest())
    parts, error = given(vault, blob, len(data))
    assert (b"".join(parts), error) == (data, None)
    assert max(map(len, parts)) <= CHUNK
    assert object_bytes(vault, blob, len(data)) == data


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda path: corrupt.flip_bit(path, 7, 3), HashMismatch),
        (lambda path: corrupt.flip_bit(path, 2 * CHUNK + 4, 3), HashMismatch),
        (lambda path: corrupt.truncate(path, CHUNK + 9), BlobMissing),
        (corrupt.empty, BlobMissing),
    ],
    ids=["first byte", "last byte", "cut", "emptied"],
)
def test_a_damaged_object_never_leaves_whole(
    place: Place, damage: Callable[[Path], None], kind: type[Exception]
) -> None:
    """Whatever the damage, the last piece is kept back, and the error says how to heal it (W2)."""
    vault = place.site().the_vault()
    path = place.vault / "blobs" / "sha256" / NAME.hex
    path.chmod(0o600)
    damage(path)
    parts, error = given(vault, NAME, len(WEIGHTS))
    assert isinstance(error, kind)
    assert error.thing == f"blobs/sha256/{path.name}"
    assert "repair --vault-copy" in error.next_step
    assert sum(map(len, parts)) <= 2 * CHUNK


def test_a_small_object_that_is_large_is_not_read(place: Place) -> None:
    """What should be small and is not is refused before a byte of it is in memory."""
    with pytest.raises(ReadFailed, match="more than 1,000 bytes") as error:
        object_bytes(place.site().the_vault(), NAME, 1_000)
    assert error.value.thing.endswith(NAME.hex)


def test_an_object_that_is_not_there(place: Place) -> None:
    """It is missing, not damaged."""
    with pytest.raises(BlobMissing):
        object_bytes(place.site().the_vault(), Digest("0" * 64), 1_000)
