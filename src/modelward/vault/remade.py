"""Who a damaged record was: its file's name holds when, and a hash of which model and wrapper, so a guess is proved."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from modelward.domain.digest import Digest
from modelward.domain.errors import BadName
from modelward.domain.name import ModelName
from modelward.domain.snapshot import KeptManifest, Snapshot, snapshot_id
from modelward.domain.store import Owner
from modelward.domain.wrapper import Wrapper

_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,512})"')
_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Clues:
    """What is left to learn from: sound records, kept manifests, the index, and the objects' names.

    ``logged`` gives the models that the audit log names beside an id; ``owner`` is who a model's manifest is given
    back to where nothing else tells.
    """

    others: Sequence[Snapshot]
    kept: Mapping[ModelName, KeptManifest]
    listed: Mapping[str, Digest]
    objects: Sequence[Digest]
    owner: Owner
    logged: Callable[[str], Iterable[ModelName]] = lambda _: ()


def origin(identity: str, left: bytes, clues: Clues) -> tuple[ModelName, Digest] | None:
    """The model and the wrapper that a record of this id named; ``left`` is what its file holds now. None: unknown.

    The id keeps 48 bits of their hash: a million guesses hit a wrong one once in 280 million times.
    """
    created = created_at(identity)
    if created is None:
        return None
    guesses = chain(_listed(identity, clues), _combined(identity, left, clues))
    return next((guess for guess in guesses if snapshot_id(created, *guess) == identity), None)


def created_at(identity: str) -> datetime | None:
    """When a record of this id was made, to the second; None for what is no id."""
    with suppress(ValueError):
        return datetime.strptime(identity.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return None


def record(identity: str, model: ModelName, wrapper: Digest, named: Wrapper, clues: Clues) -> Snapshot:
    """The record anew: what the wrapper proves, and the rest as the nearest sound record of the model has it."""
    created = created_at(identity) or datetime.min.replace(tzinfo=UTC)
    alike = [other for other in clues.others if other.model == model]
    twin = next((other for other in alike if other.wrapper == wrapper), None)
    near = twin or next(iter(alike), None)
    return Snapshot(
        id=identity,
        model=model,
        created_at=created,
        verified_at=twin.verified_at if twin is not None else created,
        wrapper=wrapper,
        manifest=named.manifest.digest,
        size=sum({blob.digest: blob.size for blob in named.blobs}.values()),
        store=near.store if near is not None else "",
        owner=near.owner if near is not None else _owner(model, clues),
    )


def _owner(model: ModelName, clues: Clues) -> Owner:
    kept = clues.kept.get(model)
    return kept.owner if kept is not None else clues.owner


def _listed(identity: str, clues: Clues) -> Iterator[tuple[ModelName, Digest]]:
    """What the index says of it."""
    for reference, wrapper in clues.listed.items():
        name, _, its = reference.rpartition("@")
        if its == identity:
            yield from ((model, wrapper) for model in _names([name]))


def _combined(identity: str, left: bytes, clues: Clues) -> Iterator[tuple[ModelName, Digest]]:
    """Every known name with every object, the likely ones first."""
    digests = (*(Digest(found.decode()) for found in _DIGEST.findall(left)), *clues.objects)
    return ((model, digest) for model in _models(identity, left, clues) for digest in digests)


def _models(identity: str, left: bytes, clues: Clues) -> Iterator[ModelName]:
    said = _MODEL.findall(left)
    yield from _names(name.decode(errors="replace") for name in said)
    yield from dict.fromkeys(other.model for other in clues.others)
    yield from clues.kept
    yield from _names(reference.partition("@")[0] for reference in clues.listed)
    yield from clues.logged(identity)
    yield from _names(near for name in said for near in _one_bit_off(name))


def _one_bit_off(name: bytes) -> Iterator[str]:
    """What a name was if one bit of it flipped."""
    for bit in range(8 * len(name)):
        flipped = int.from_bytes(name, "little") ^ 1 << bit
        yield flipped.to_bytes(len(name), "little").decode(errors="replace")


def _names(texts: Iterable[str]) -> Iterator[ModelName]:
    for text in texts:
        with suppress(BadName):
            yield ModelName.parse(text)
