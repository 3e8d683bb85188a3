"""Plans: which step heals which damage, in which order, and what is said to be left (R1-R3, V1)."""

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.domain import finding as f
from modelward.domain.chunks import CHUNK, Span, indices_of
from modelward.domain.digest import Digest
from modelward.domain.name import ModelName
from modelward.domain.plan import (
    FixOwner,
    Means,
    Method,
    ModelPlan,
    Need,
    Offer,
    Part,
    PatchBlob,
    PlaceBlob,
    PlaceManifest,
    Plan,
    PullModel,
    RemakeRecord,
    Step,
    TrySuspects,
    make_plan,
)
from tests.domain.strategies_domain import digest

BLOB = digest(1)
SIZE = 5 * CHUNK + 100
OWNER = (997, 998, 0o644)
LLAMA, MISTRAL, QWEN = (ModelName.parse(name) for name in ("llama3", "mistral", "qwen3"))

# Where files can share extents a patch is made on a clone; elsewhere it is made in place (R3).
SHARING, PLAIN = ("btrfs", "xfs"), ("ext4", "")


def missing(blob: Digest = BLOB, size: int = SIZE) -> f.Missing:
    """The blob is not there."""
    return f.Missing(blob=blob, size=size, path="p")


def corrupt(*chunks: int, blob: Digest = BLOB, size: int = SIZE, exact: bool = True) -> f.Corrupt:
    """These chunks of the blob are wrong."""
    spans = tuple(Span(index * CHUNK, min(CHUNK, size - index * CHUNK)) for index in chunks)
    return f.Corrupt(blob=blob, size=size, path="p", spans=spans, exact=exact)


def owned(blob: Digest = BLOB, size: int = SIZE) -> f.WrongOwner:
    """The runtime cannot read the blob's file."""
    return f.WrongOwner(blob=blob, size=size, path="p", actual=(0, 0, 0o600), expected=OWNER)


TAIL = (Span(4 * CHUNK, CHUNK + 100),)
CUT = f.Truncated(blob=BLOB, size=SIZE, path="p", actual=4 * CHUNK + 5, spans=TAIL)
LONG = f.Oversized(blob=BLOB, size=SIZE, path="p", actual=SIZE + 1)
EIO = f.Unreadable(blob=BLOB, size=SIZE, path="p", spans=(Span(CHUNK, CHUNK),), error="EIO")
LINK = f.NotRegular(blob=BLOB, size=SIZE, path="p", what="symlink")
WHOLE = corrupt(0, 1, 2, 3, 4, 5, exact=False)

# Damage -> the spans that travel, and the method on a plain and on a sharing file system.
PATCHED: dict[str, tuple[tuple[f.Finding, ...], tuple[Span, ...], Method, Method]] = {
    "wrong bytes": ((corrupt(2),), (Span(2 * CHUNK, CHUNK),), Method.IN_PLACE, Method.CLONE),
    "wrong bytes at both ends": (
        (corrupt(0, 5),),
        (Span(0, CHUNK), Span(5 * CHUNK, 100)),
        Method.IN_PLACE,
        Method.CLONE,
    ),
    "wrong bytes side by side": ((corrupt(2, 3),), (Span(2 * CHUNK, 2 * CHUNK),), Method.IN_PLACE, Method.CLONE),
    "wrong somewhere": ((WHOLE,), (Span(0, SIZE),), Method.IN_PLACE, Method.CLONE),
    "cut short": ((CUT,), TAIL, Method.IN_PLACE, Method.CLONE),
    "cut short and wrong bytes": ((CUT, corrupt(1)), (Span(CHUNK, CHUNK), *TAIL), Method.IN_PLACE, Method.CLONE),
    # A file is never shrunk in place: whoever has it mapped would die.
    "too long": ((LONG,), (), Method.NEW_FILE, Method.CLONE),
    "too long and wrong bytes": ((LONG, corrupt(0)), (Span(0, CHUNK),), Method.NEW_FILE, Method.CLONE),
    # A place that the disk cannot read is not written to again: always a new file, and no clone of the bad place.
    "unreadable": ((EIO,), (Span(CHUNK, CHUNK),), Method.NEW_FILE, Method.NEW_FILE),
    "unreadable and wrong bytes": ((EIO, corrupt(2)), (Span(CHUNK, 2 * CHUNK),), Method.NEW_FILE, Method.NEW_FILE),
    "wrong bytes and unreadable": ((corrupt(2), EIO), (Span(CHUNK, 2 * CHUNK),), Method.NEW_FILE, Method.NEW_FILE),
    "unreadable and cut short": ((EIO, CUT), (Span(CHUNK, CHUNK), *TAIL), Method.NEW_FILE, Method.NEW_FILE),
    "unreadable and too long": ((LONG, EIO), (Span(CHUNK, CHUNK),), Method.NEW_FILE, Method.NEW_FILE),
    "spans that do not lie on chunks": (
        (f.Corrupt(blob=BLOB, size=SIZE, path="p", spans=(Span(CHUNK - 1, 2),)),),
        (Span(0, 2 * CHUNK),),
        Method.IN_PLACE,
        Method.CLONE,
    ),
}
PLACED: dict[str, tuple[tuple[f.Finding, ...], bool]] = {
    "missing": ((missing(),), False),
    "no plain file": ((LINK,), True),
}
DAMAGES = {name: case[0] for name, case in PATCHED.items()} | {name: case[0] for name, case in PLACED.items()}


def plan_by(
    needs: Sequence[Need], offers: Mapping[Digest, str], chunked: frozenset[Digest], *, file_system: str
) -> Plan:
    """The plan where each blob has one local source, or none."""
    means = {blob: (Offer(source),) for blob, source in offers.items()}
    return make_plan(needs, Means(offers=means, chunked=chunked, file_system=file_system))


def plan_of(*findings: f.Finding, chunked: bool = True, source: bool = True, file_system: str = "ext4") -> Plan:
    """The plan for one model with these findings; a source, if there is one, has every blob."""
    blobs = frozenset(finding.blob for finding in findings if isinstance(finding, f.BlobFinding))
    return plan_by(
        [Need(model=LLAMA, findings=findings)],
        dict.fromkeys(blobs, "vault") if source else {},
        blobs if chunked else frozenset(),
        file_system=file_system,
    )


def only_step(plan: Plan) -> Step:
    """The one step of a plan that heals everything with one."""
    assert plan.unhealed == ()
    ((step,),) = [model.steps for model in plan.models]
    return step


@pytest.mark.parametrize("file_system", [*PLAIN, *SHARING])
@pytest.mark.parametrize(("findings", "spans", "plain", "sharing"), PATCHED.values(), ids=PATCHED)
def test_damage_inside_a_blob_with_a_chunk_list_is_patched(
    findings: tuple[f.Finding, ...], spans: tuple[Span, ...], plain: Method, sharing: Method, file_system: str
) -> None:
    """Only the damaged chunks travel (R2), by the method that fits the damage and the file system (R3)."""
    method = sharing if file_system in SHARING else plain
    assert only_step(plan_of(*findings, file_system=file_system)) == PatchBlob(
        blob=BLOB, size=SIZE, spans=spans, source="vault", method=method
    )


@pytest.mark.parametrize("file_system", [*PLAIN, *SHARING])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("findings", "replaces"), PLACED.values(), ids=PLACED)
def test_a_blob_that_is_not_there_is_placed(
    findings: tuple[f.Finding, ...], file_system: str, *, replaces: bool, chunked: bool
) -> None:
    """It comes whole; what stands in its place, if anything, is replaced (R1, R3)."""
    step = only_step(plan_of(*findings, chunked=chunked, file_system=file_system))
    assert step == PlaceBlob(blob=BLOB, size=SIZE, source="vault", replaces=replaces)


@pytest.mark.parametrize("file_system", [*PLAIN, *SHARING])
@pytest.mark.parametrize("findings", [case[0] for name, case in PATCHED.items() if name != "too long"])
def test_damage_inside_a_blob_without_a_chunk_list_replaces_it(
    findings: tuple[f.Finding, ...], file_system: str
) -> None:
    """Nobody can say which chunks are good, so the whole blob comes from the source (R2)."""
    step = only_step(plan_of(*findings, chunked=False, file_system=file_system))
    assert step == PlaceBlob(blob=BLOB, size=SIZE, source="vault", replaces=True)


@pytest.mark.parametrize("file_system", [*PLAIN, *SHARING])
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK])
def test_a_blob_of_one_chunk_is_replaced(size: int, file_system: str) -> None:
    """There is nothing to patch: the damaged chunk is the whole (R3)."""
    step = only_step(plan_of(corrupt(0, size=size), file_system=file_system))
    assert step == PlaceBlob(blob=BLOB, size=size, source="vault", replaces=True)


@pytest.mark.parametrize("file_system", [*PLAIN, *SHARING])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("findings", [case for name, case in DAMAGES.items() if name != "too long"])
def test_damage_that_no_source_can_heal_is_named(
    findings: tuple[f.Finding, ...], file_system: str, *, chunked: bool
) -> None:
    """Each finding with its model and the reason, and no step (R2)."""
    plan = plan_of(*findings, chunked=chunked, source=False, file_system=file_system)
    assert plan.models == ()
    assert [(item.model, item.finding) for item in plan.unhealed] == [(LLAMA, finding) for finding in findings]
    assert {item.reason for item in plan.unhealed} == {"no source has good bytes of it"}


@pytest.mark.parametrize("file_system", [*PLAIN, *SHARING])
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("source", [True, False])
def test_a_wrong_owner_needs_no_source(file_system: str, *, chunked: bool, source: bool) -> None:
    """Only owner and mode are set, no byte moves (R5)."""
    step = only_step(plan_of(owned(), chunked=chunked, source=source, file_system=file_system))
    assert step == FixOwner(blob=BLOB, owner=OWNER)
    assert (step.bytes, step.source) == (0, "store")


def test_a_blob_that_is_replaced_gets_its_owner_with_the_new_file() -> None:
    """One step is enough: a new file is published with the store's owner (R5)."""
    assert isinstance(only_step(plan_of(missing(), owned())), PlaceBlob)


def test_a_blob_that_is_patched_in_place_gets_its_owner_too() -> None:
    """The file stays the same one, so a step of its own sets owner and mode (R5)."""
    (model,) = plan_of(corrupt(2), owned(), file_system="ext4").models
    assert FixOwner(blob=BLOB, owner=OWNER) in model.steps


@pytest.mark.parametrize(
    "finding",
    [
        f.Changed(blob=BLOB, size=SIZE, path="p"),
        f.Orphan(blob=BLOB, size=SIZE, path="p"),
        f.Partial(path="p", bytes=1),
        f.BadEntry(path="p", reason="x"),
        f.CaseTwin(path="p", models=(LLAMA,)),
    ],
    ids=lambda finding: type(finding).__name__,
)
def test_what_is_no_damage_needs_no_step(finding: f.Finding) -> None:
    """Nothing is done about it and nothing is said to be left."""
    assert plan_of(finding) == Plan()


def test_nothing_to_do_is_an_empty_plan() -> None:
    """No needs, no steps."""
    assert plan_by([], {}, frozenset(), file_system="ext4") == Plan()


# Manifests.


def lost(*findings: f.Finding, model: ModelName = LLAMA, replaces: bool = False) -> Need:
    """A model whose manifest has to come back, with these blobs damaged."""
    return Need(
        model=model,
        findings=findings,
        manifest=digest(99),
        manifest_bytes=500,
        replaces_manifest=replaces,
        snapshot="20260105T120000Z-0123456789ab",
    )


@pytest.mark.parametrize("replaces", [True, False])
def test_a_manifest_comes_back_last(*, replaces: bool) -> None:
    """Blobs first, then the manifest that names them, so that the runtime never sees a half model (R3)."""
    needs = [lost(missing(), missing(digest(2)), replaces=replaces)]
    plan = plan_by(needs, {BLOB: "vault", digest(2): "vault"}, frozenset(), file_system="ext4")
    (model,) = plan.models
    assert [type(step) for step in model.steps] == [PlaceBlob, PlaceBlob, PlaceManifest]
    assert model.steps[-1] == PlaceManifest(
        model=LLAMA,
        manifest=digest(99),
        bytes=500,
        source="vault",
        replaces=replaces,
        snapshot="20260105T120000Z-0123456789ab",
    )


def test_a_manifest_alone_comes_back_without_any_blob() -> None:
    """When all blobs are well, the manifest is the whole plan (G2)."""
    plan = plan_by([lost()], {}, frozenset(), file_system="ext4")
    assert [type(step) for step in plan.models[0].steps] == [PlaceManifest]
    assert plan.bytes == 500


def test_a_manifest_stays_away_while_a_blob_is_lost() -> None:
    """What can be healed is, the rest is named, and the manifest of a half model is not put back (R3)."""
    plan = plan_by([lost(missing(), missing(digest(2)))], {BLOB: "vault"}, frozenset(), file_system="ext4")
    assert [type(step) for step in plan.models[0].steps] == [PlaceBlob]
    assert [item.finding for item in plan.unhealed] == [missing(digest(2))]


def test_another_models_lost_blob_keeps_no_manifest_away() -> None:
    """Each model is judged by its own blobs."""
    needs = [lost(missing()), Need(model=MISTRAL, findings=(missing(digest(2)),))]
    plan = plan_by(needs, {BLOB: "vault"}, frozenset(), file_system="ext4")
    assert [type(step) for step in plan.models[0].steps] == [PlaceBlob, PlaceManifest]
    assert [item.model for item in plan.unhealed] == [MISTRAL]


@pytest.mark.parametrize(
    "finding",
    [f.ManifestLost(path="p", model=LLAMA), f.ManifestDamaged(path="p", model=LLAMA, reason="empty")],
    ids=["lost", "damaged"],
)
def test_a_manifest_that_nobody_has_is_named(finding: f.Finding) -> None:
    """Damage is healed or said to be left, never silently dropped: a dry run would end with 0 otherwise (R2)."""
    plan = plan_by([Need(model=LLAMA, findings=(finding,))], {}, frozenset(), file_system="ext4")
    assert [item.finding for item in plan.unhealed] == [finding]


# Several sources.

FAR = Offer("upstream", local=False)


def plan_with(*findings: f.Finding, offers: Sequence[Offer] = (), **means: object) -> Plan:
    """The plan for one model with one blob and these offers of it."""
    given_means = {"chunked": frozenset({BLOB}), "file_system": "ext4"} | means
    return make_plan(
        [Need(model=LLAMA, findings=findings)],
        Means(offers={BLOB: tuple(offers)}, **given_means),  # type: ignore[arg-type]
    )


def test_each_chunk_comes_from_the_cheapest_source_that_has_it() -> None:
    """A vault that is rotten elsewhere gives what is good in it, and only the rest travels far (R2)."""
    vault = Offer("vault", (Span(3 * CHUNK, CHUNK),))
    step = only_step(plan_with(corrupt(1, 3, 4), offers=[vault, FAR]))
    assert isinstance(step, PatchBlob)
    assert step.source == "vault+upstream"
    assert step.parts == (
        Part(source="vault", spans=(Span(CHUNK, CHUNK), Span(4 * CHUNK, CHUNK))),
        Part(source="upstream", spans=(Span(3 * CHUNK, CHUNK),)),
    )


def test_a_lost_blob_is_put_together_from_several_sources() -> None:
    """Where it has a chunk list; without one nobody could tell the good chunks."""
    vault = Offer("vault", (Span(0, CHUNK),))
    step = only_step(plan_with(missing(), offers=[vault, FAR]))
    assert isinstance(step, PlaceBlob)
    assert [part.source for part in step.parts] == ["vault", "upstream"]
    alone = only_step(plan_with(missing(), offers=[vault, FAR], chunked=frozenset()))
    assert (alone.source, getattr(alone, "parts", None)) == ("upstream", ())


def test_chunks_that_nobody_has_are_named() -> None:
    """A step that must fail is not begun."""
    vault = Offer("vault", (Span(CHUNK, CHUNK),))
    assert plan_with(corrupt(1), offers=[vault]).unhealed
    assert only_step(plan_with(corrupt(2), offers=[vault])).source == "vault"


def test_what_looks_lost_is_fetched_first() -> None:
    """Without a chunk list zeros and cut tails are suspects; a local source gives the whole for nothing (R2)."""
    suspects = {BLOB: (Span(CHUNK, CHUNK),)}
    step = only_step(plan_with(WHOLE, offers=[FAR], chunked=frozenset(), suspects=suspects))
    assert step == TrySuspects(blob=BLOB, size=SIZE, spans=(Span(CHUNK, CHUNK),), source="upstream")
    near = only_step(plan_with(WHOLE, offers=[Offer("sibling"), FAR], chunked=frozenset(), suspects=suspects))
    assert near == PlaceBlob(blob=BLOB, size=SIZE, source="sibling", replaces=True)
    gone = only_step(plan_with(missing(), offers=[FAR], chunked=frozenset(), suspects=suspects))
    assert isinstance(gone, PlaceBlob)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_file_that_is_only_too_long_needs_no_source(*, chunked: bool) -> None:
    """Its own bytes are the good ones; their hashes decide."""
    step = only_step(plan_with(LONG, chunked=frozenset({BLOB} if chunked else ())))
    assert (step.source, step.bytes) == ("store", 0)


def test_the_runtime_pulls_what_no_source_has() -> None:
    """Last of all, with the bad file moved out of its name: a pull does not look at files that are there (R4)."""
    plan = plan_with(corrupt(1), offers=[], pullable=frozenset({LLAMA}))
    assert only_step(plan) == PullModel(model=LLAMA, blobs=(BLOB,), aside=(BLOB,), bytes=SIZE)
    assert only_step(plan_with(missing(), pullable=frozenset({LLAMA}))) == PullModel(
        model=LLAMA, blobs=(BLOB,), aside=(), bytes=SIZE
    )
    assert plan_with(corrupt(1), pullable=frozenset({MISTRAL})).unhealed


def test_files_that_are_never_written_to_again_are_replaced() -> None:
    """A vault's objects are patched in a new file (W1)."""
    step = only_step(plan_with(corrupt(1), offers=[FAR], in_place=False))
    assert isinstance(step, PatchBlob)
    assert step.method is Method.NEW_FILE


# Several models.


def test_a_blob_that_models_share_is_healed_once() -> None:
    """With the first of them; the others only get what is theirs (R2)."""
    shared, own = missing(), missing(digest(2), 10)
    needs = [Need(model=MISTRAL, findings=(shared, own)), Need(model=LLAMA, findings=(shared,))]
    plan = plan_by(needs, {BLOB: "vault", digest(2): "vault"}, frozenset(), file_system="ext4")
    assert [(model.model, [step.bytes for step in model.steps]) for model in plan.models] == [
        (LLAMA, [SIZE]),
        (MISTRAL, [10]),
    ]


def test_a_shared_blob_that_no_source_has_is_named_for_each_model() -> None:
    """Every model that cannot be healed says so."""
    needs = [Need(model=MISTRAL, findings=(missing(),)), Need(model=LLAMA, findings=(missing(),))]
    plan = plan_by(needs, {}, frozenset(), file_system="ext4")
    assert {item.model for item in plan.unhealed} == {LLAMA, MISTRAL}


def test_the_smallest_model_comes_first() -> None:
    """So that most models serve again soon; a lone manifest is the smallest of all."""
    needs = [
        Need(model=LLAMA, findings=(missing(digest(2), 9_000),)),
        Need(model=QWEN, findings=(missing(digest(3), 10), missing(digest(4), 20))),
        lost(model=MISTRAL),
    ]
    offers = {digest(number): "vault" for number in (2, 3, 4)}
    plan = plan_by(needs, offers, frozenset(), file_system="ext4")
    assert [model.model for model in plan.models] == [MISTRAL, QWEN, LLAMA]


def test_models_of_one_size_come_by_name() -> None:
    """The same needs make the same plan."""
    needs = [Need(model=name, findings=(missing(digest(n)),)) for n, name in enumerate((QWEN, MISTRAL, LLAMA), 2)]
    plan = plan_by(needs, {digest(n): "vault" for n in (2, 3, 4)}, frozenset(), file_system="ext4")
    assert [model.model for model in plan.models] == [LLAMA, MISTRAL, QWEN]


# Unstable reads.

UNSTABLE = f.UnstableRead(blob=digest(7), size=SIZE, path="p", spans=(Span(0, CHUNK),))


@pytest.mark.parametrize("file_system", [*PLAIN, *SHARING])
def test_an_unstable_read_anywhere_blocks_everything(file_system: str) -> None:
    """What would be written could be wrong as well: no step for any model, and every damage is named (V1)."""
    changed = f.Changed(blob=BLOB, size=SIZE, path="p")
    needs = [lost(missing(), owned()), Need(model=MISTRAL, findings=(changed, UNSTABLE))]
    plan = plan_by(needs, {BLOB: "vault", digest(7): "vault"}, frozenset({BLOB}), file_system=file_system)
    assert plan.models == ()
    assert [item.finding for item in plan.unhealed] == [missing(), owned(), UNSTABLE]
    assert all("memory" in item.reason for item in plan.unhealed)


# Any combination.

KINDS = ("missing", "corrupt", "cut", "long", "eio", "link", "owner", "corrupt+owner", "eio+corrupt")


def damage(kind: str, blob: Digest, size: int) -> tuple[f.Finding, ...]:
    """Findings of a kind about a blob."""
    wrong = corrupt(0, blob=blob, size=size)
    table: dict[str, tuple[f.Finding, ...]] = {
        "missing": (missing(blob, size),),
        "corrupt": (wrong,),
        "cut": (f.Truncated(blob=blob, size=size, path="p", actual=0, spans=(Span(0, size),)),),
        "long": (f.Oversized(blob=blob, size=size, path="p", actual=size + 1),),
        "eio": (f.Unreadable(blob=blob, size=size, path="p", spans=(Span(0, min(size, CHUNK)),), error="EIO"),),
        "link": (f.NotRegular(blob=blob, size=size, path="p", what="folder"),),
        "owner": (owned(blob, size),),
    }
    return tuple(finding for part in kind.split("+") for finding in table[part])


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Need], dict[Digest, str], frozenset[Digest], str]:
    """Models that share damaged blobs, sources for some of them, chunk lists for some, any file system."""
    blobs = [digest(number) for number in range(10, 15)]
    sizes = st.sampled_from([1, CHUNK, CHUNK + 1, 3 * CHUNK])
    findings = {blob: damage(draw(st.sampled_from(KINDS)), blob, draw(sizes)) for blob in blobs}
    some = st.lists(st.sampled_from(blobs), unique=True)
    needs = [
        Need(
            model=name,
            findings=tuple(finding for blob in draw(some) for finding in findings[blob]),
            manifest=digest(99) if draw(st.booleans()) else None,
        )
        for name in (LLAMA, MISTRAL, QWEN)
    ]
    offers = dict.fromkeys(draw(some), "vault")
    return needs, offers, frozenset(draw(some)), draw(st.sampled_from([*PLAIN, *SHARING]))


def steps_of(plan: Plan) -> list[tuple[ModelPlan, Step]]:
    """All steps in the order in which they are carried out, with their models."""
    return [(model, step) for model in plan.models for step in model.steps]


def content(findings: Sequence[f.Finding]) -> list[f.BlobDamage]:
    """The findings about a blob's bytes."""
    return [item for item in findings if isinstance(item, f.BlobDamage) and not isinstance(item, f.WrongOwner)]


def only_too_long(needs: Sequence[Need], blob: Digest) -> bool:
    """Whether the file has its bytes and more behind them: it needs nobody else's."""
    found = [item for need in needs for item in content(need.findings) if item.blob == blob]
    return all(isinstance(item, f.Oversized) for item in found)


@settings(max_examples=50)
@given(situations(), st.randoms(use_true_random=False))
def test_the_order_of_the_needs_does_not_matter(
    case: tuple[list[Need], dict[Digest, str], frozenset[Digest], str], shuffler: random.Random
) -> None:
    """A plan is a function of what was found."""
    needs, offers, chunked, file_system = case
    mixed = list(needs)
    shuffler.shuffle(mixed)
    plan = plan_by(needs, offers, chunked, file_system=file_system)
    assert plan_by(mixed, offers, chunked, file_system=file_system) == plan


@settings(max_examples=100)
@given(situations())
def test_every_damaged_blob_is_healed_once_or_named(
    case: tuple[list[Need], dict[Digest, str], frozenset[Digest], str],
) -> None:
    """With a source exactly one step heals its bytes, without one each model that needs it says so (R2)."""
    needs, offers, chunked, file_system = case
    plan = plan_by(needs, offers, chunked, file_system=file_system)
    healed = [step.blob for _, step in steps_of(plan) if isinstance(step, PlaceBlob | PatchBlob | TrySuspects)]
    damaged = {finding.blob for need in needs for finding in content(need.findings)}
    curable = {blob for blob in damaged if blob in offers or only_too_long(needs, blob)}
    assert sorted(healed) == sorted(curable)
    left = [(need.model, item) for need in needs for item in content(need.findings) if item.blob not in curable]
    assert sorted(left, key=repr) == sorted([(item.model, item.finding) for item in plan.unhealed], key=repr)
    assert plan.bytes == sum(step.bytes for _, step in steps_of(plan))


@settings(max_examples=50)
@given(situations())
def test_a_manifest_is_placed_last_and_only_over_whole_models(
    case: tuple[list[Need], dict[Digest, str], frozenset[Digest], str],
) -> None:
    """It is the last step of its model, and every damaged blob of the model was healed in an earlier step (R3)."""
    needs, offers, chunked, file_system = case
    plan = plan_by(needs, offers, chunked, file_system=file_system)
    placed = {model.model for model in plan.models if isinstance(model.steps[-1], PlaceManifest)}
    whole = {
        n.model
        for n in needs
        if n.manifest and all(item.blob in offers or only_too_long(needs, item.blob) for item in content(n.findings))
    }
    assert placed == whole
    done: set[Digest] = set()
    by_name = {need.model: need for need in needs}
    for model, step in steps_of(plan):
        if isinstance(step, PlaceManifest):
            assert step is model.steps[-1]
            assert {item.blob for item in content(by_name[step.model].findings)} <= done
        else:
            assert not isinstance(step, PullModel | RemakeRecord)
            done.add(step.blob)


@settings(max_examples=50)
@given(situations())
def test_a_patch_covers_the_damage_and_little_more(
    case: tuple[list[Need], dict[Digest, str], frozenset[Digest], str],
) -> None:
    """The chunks that travel are exactly those that a finding touches, inside the blob (R2)."""
    needs, offers, chunked, file_system = case
    plan = plan_by(needs, offers, chunked, file_system=file_system)
    for _, step in steps_of(plan):
        if isinstance(step, PatchBlob):
            mine = {item for need in needs for item in content(need.findings) if item.blob == step.blob}
            touched = {index for item in mine for index in indices_of(item.spans)}
            assert set(indices_of(step.spans)) == touched
            assert step.bytes <= step.size
            assert step.blob in chunked
            assert step.size > CHUNK


@settings(max_examples=50)
@given(situations(), st.integers(0, 2))
def test_one_unstable_read_blocks_any_plan(
    case: tuple[list[Need], dict[Digest, str], frozenset[Digest], str], where: int
) -> None:
    """Wherever it was found and whatever else was, nothing is planned and all damage is named (V1)."""
    needs, offers, chunked, file_system = case
    struck = needs[where]
    needs[where] = Need(model=struck.model, findings=(*struck.findings, UNSTABLE), manifest=struck.manifest)
    plan = plan_by(needs, offers, chunked, file_system=file_system)
    assert plan.models == ()
    assert len(plan.unhealed) == sum(len(need.findings) for need in needs)
