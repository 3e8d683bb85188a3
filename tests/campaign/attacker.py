"""Try the corpus on our own services in a traced process: ``python -m tests.campaign.attacker BASE FIRST STEP``.

Prints one JSON object: how often each outcome came. Whatever is not an error of ours ends it with a traceback.
"""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from modelward.bundles.reader import opened_bundle
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.name import ModelName
from modelward.domain.reading import Level
from modelward.services.backup import backup
from modelward.services.import_ import import_bundle
from modelward.services.repair import repair
from modelward.services.repair_vault import repair_vault
from modelward.services.restore import restore
from modelward.services.retention import prune
from modelward.services.space import space
from modelward.services.verify import verify
from modelward.services.verify_vault import verify_vault
from modelward.testing import FakeStore
from tests.campaign.corpus import bundles, digests, links, manifests, names
from tests.places import Place

LLAMA = ModelName.parse("llama3")
Attack = Callable[[], object]


def tried(work: Attack) -> str:
    """What one call comes to; an error of ours is printable, and says something."""
    try:
        work()
    except ModelwardError as problem:
        text = str(problem)
        assert text
        return "typed error"
    return "went on"


def everything(place: Place) -> list[Attack]:
    """Each service once."""
    return [
        lambda: verify(place.site(), (), Level.FULL),
        lambda: backup(place.site(), (), accepted=True),
        lambda: repair(place.site(), (), accepted=True),
        lambda: verify_vault(place.site(), (), Level.FULL),
        lambda: repair_vault(place.site(), ()),
        lambda: restore(place.site(), LLAMA, accepted=True),
        lambda: space(place.site(), reclaim=True, dry_run=False),
        lambda: prune(place.site(), timedelta()),
    ]


def attacks(base: Path) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Every attack, with what it is called."""
    master = base / "master"
    place = Place(master)
    FakeStore(place.store).add_model("llama3", bytes(range(256)) * 5000, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    yield from (("name", partial(name_attack, place, text)) for text in names())
    yield from (("digest", partial(digest_attack, text)) for text in digests())
    yield from (("manifest", partial(on_copy, base, master, partial(evil, raw))) for raw in manifests())
    yield from (("link", partial(on_copy, base, master, partial(plant, *found))) for found in links())
    (base / "made").mkdir()
    yield from (("bundle", partial(bundle_attack, base, place, *found)) for found in enumerate(bundles(base / "made")))


def digest_attack(text: str) -> list[str]:
    """A text that is no digest."""
    return [tried(lambda: Digest.parse(text))]


def evil(raw: bytes, place: Place) -> None:
    """Give the store a manifest of these bytes."""
    FakeStore(place.store).add_manifest("evil", raw)


def name_attack(place: Place, text: str) -> list[str]:
    """A name that is refused, or of which nothing but its four segments is left."""
    try:
        name = ModelName.parse(text)
    except ModelwardError:
        return ["typed error"]
    assert all(part not in ("", ".", "..") and "/" not in part and "\0" not in part for part in name.parts)
    return [tried(lambda: restore(place.site(), name))]


def on_copy(base: Path, master: Path, spoil: Callable[[Place], object]) -> list[str]:
    """Spoil a copy of the place, and let every service at it."""
    copy = base / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(master, copy, symlinks=True)
    place = Place(copy)
    spoil(place)
    return [tried(work) for work in everything(place)]


def plant(where: str, what: str, place: Place) -> None:
    """Put something else in the place of a file or folder of store or vault."""
    outside = place.base.parents[1] / "outside"
    path = found(place, where)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    match what:
        case "link out":
            path.symlink_to(outside)
        case "link to a secret":
            path.symlink_to(outside / "secret")
        case "FIFO":
            os.mkfifo(path)
        case _:
            path.symlink_to(path)


def found(place: Place, where: str) -> Path:
    """The path that a place in the corpus stands for."""
    named = {
        "store/MANIFEST": FakeStore(place.store).manifest_path("llama3") if where == "store/MANIFEST" else place.store,
        "store/BLOB": max(place.store.glob("blobs/*"), key=lambda path: path.stat().st_size),
        "vault/OBJECT": max(place.vault.glob("blobs/sha256/*"), key=lambda path: path.stat().st_size),
        "vault/modelward/RECORD": next(place.vault.glob("modelward/snapshots/*")),
    }
    return named.get(where, place.base / where)


def bundle_attack(base: Path, place: Place, number: int, data: bytes) -> list[str]:
    """Import a bundle that lies."""
    path = base / f"bundle{number}"
    path.write_bytes(data)

    def work() -> None:
        with opened_bundle(str(path)) as bundle:
            import_bundle(place.site(), bundle)

    return [tried(work)]


def main() -> None:
    """Do every STEP-th attack from the FIRST on."""
    base, first, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    base.mkdir(parents=True, exist_ok=True)
    chosen = islice(attacks(base), first, None, step)
    counts: Counter[str] = Counter()
    (base / "begin").touch()  # from here on the trace counts
    for kind, attack in chosen:
        counts[kind] += 1
        for outcome in attack():
            counts[f"{kind}: {outcome}"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
