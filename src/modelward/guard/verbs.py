"""Everything that the guard can be asked to do: one table, whose rows call the services that the command line calls."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec

from modelward.domain.errors import BadSetting
from modelward.domain.host import Reach, name_of, reach_of
from modelward.domain.interchange import Reference
from modelward.domain.name import DEFAULT_HOST, ModelName
from modelward.domain.reading import Level
from modelward.domain.retention import Policy
from modelward.domain.units import parse_duration
from modelward.guard.jobs import Job, Run
from modelward.guard.place import Opener, Place

_Short = Annotated[str, msgspec.Meta(max_length=200)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
_Span = Annotated[str, msgspec.Meta(pattern=r"^(?:[1-9][0-9]{0,3}[smhd])?$", description="such as 90s, 36h or 14d")]
_Models = Annotated[tuple[ModelName, ...], msgspec.Meta(max_length=500)]


class _Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all options: a field that nobody knows is an error."""


class Many(_Options, frozen=True, kw_only=True):
    """Models as `ollama list` shows them; all protected ones without any."""

    models: _Models = ()


class BackupOptions(Many, frozen=True, kw_only=True):
    """``accept_store``: this store is meant, although it is not the one on record (I1)."""

    accept_store: bool = False
    dry_run: bool = False


class VerifyOptions(Many, frozen=True, kw_only=True):
    """``level``: quick looks at entries and receipts, sample reads the next share, full every byte."""

    level: Level = Level.FULL


class RepairOptions(Many, frozen=True, kw_only=True):
    """``level`` is how deep to look first."""

    level: Level = Level.FULL
    accept_store: bool = False
    dry_run: bool = False


class RepairVaultOptions(Many, frozen=True, kw_only=True):
    """``level`` is how deep to look first."""

    level: Level = Level.FULL
    dry_run: bool = False


class RestoreOptions(_Options, frozen=True, kw_only=True):
    """``snapshot`` is an id or enough of it; the newest that the vault can prove without one."""

    model: ModelName
    snapshot: _Short = ""
    accept_store: bool = False
    dry_run: bool = False


class PullOptions(_Options, frozen=True, kw_only=True):
    """``accept_moved``: take the version that the tag names now, though it is another one."""

    model: ModelName
    accept_moved: bool = False
    accept_store: bool = False
    dry_run: bool = False


class RollbackOptions(_Options, frozen=True, kw_only=True):
    """The model that goes back to the version before."""

    model: ModelName
    accept_store: bool = False
    dry_run: bool = False


class PinOptions(_Options, frozen=True, kw_only=True):
    """``snapshot`` is what to hold the model to; without one it is the version that is served now."""

    model: ModelName
    snapshot: _Short = ""


class OneModel(_Options, frozen=True, kw_only=True):
    """A model."""

    model: ModelName


class ForgetOptions(Many, frozen=True, kw_only=True):
    """The policy; what is left out is as in the settings. ``keep_within`` is a duration such as 14d."""

    keep_last: _Count | None = None
    keep_daily: _Count | None = None
    keep_weekly: _Count | None = None
    keep_within: _Span | None = None
    dry_run: bool = False


class UndeleteOptions(_Options, frozen=True, kw_only=True):
    """A snapshot in the trash, by its id or enough of it."""

    snapshot: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class PruneOptions(_Options, frozen=True, kw_only=True):
    """``trash_days``: drop what was forgotten so many days ago; as in the settings without it."""

    trash_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] | None = None
    dry_run: bool = False


class ReclaimOptions(_Options, frozen=True, kw_only=True):
    """``grace``: what is younger stays, for example 7d; a day without it."""

    grace: _Span = ""
    accept_store: bool = False
    dry_run: bool = False


class PushOptions(_Options, frozen=True, kw_only=True):
    """``target`` is ``host[:port]/repository[:tag]``."""

    model: ModelName
    target: _Short
    snapshot: _Short = ""
    dry_run: bool = False


class FetchOptions(_Options, frozen=True, kw_only=True):
    """``source`` is what push was given; ``as_name`` the model's name, else the repository's last word."""

    source: _Short
    as_name: ModelName | None = None
    dry_run: bool = False


class DoctorOptions(Many, frozen=True, kw_only=True):
    """``quick``: do not read every byte, only what is lost or cut short."""

    quick: bool = False


class DrillOptions(_Options, frozen=True, kw_only=True):
    """The model whose restore is rehearsed; one by chance without it."""

    model: ModelName | None = None


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the model's protection changed."""

    model: ModelName
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One thing to ask for: its options, how it is done, and whether it can lose or send away what others need.

    A ``grave`` verb is for administrators. ``create_vault`` makes the vault where there is none.
    """

    name: str
    about: str
    options: type[msgspec.Struct]
    run: Callable[[Place, Any, Job], object]
    grave: bool = False
    create_vault: bool = False

    def models_of(self, options: object) -> tuple[ModelName, ...]:
        """The models that the options name; none stands for all."""
        one = getattr(options, "model", None)
        return (one,) if one is not None else getattr(options, "models", ())

    def dry(self, options: object) -> bool:
        """Whether only the plan is asked for."""
        return bool(getattr(options, "dry_run", False))

    def of(self, opener: Opener, options: object, cause: str) -> Run:
        """The job: a workplace of its own, then the verb."""

        def run(job: Job) -> object:
            made = self.create_vault and not self.dry(options)
            with opener(job, job.stop, cause=cause, create_vault=made) as place:
                return self.run(place, options, job)

        return run


def _backup(place: Place, options: BackupOptions, _: Job) -> object:
    from modelward.services.backup import backup

    return backup(place.site, options.models, accepted=options.accept_store, dry_run=options.dry_run)


def _verify(place: Place, options: VerifyOptions, _: Job) -> object:
    from modelward.services.verify import verify

    return verify(place.site, options.models, options.level, sample_percent=place.settings.sample_percent)


def _verify_vault(place: Place, options: VerifyOptions, _: Job) -> object:
    from modelward.services.verify_vault import verify_vault

    return verify_vault(place.site, options.models, options.level, sample_percent=place.settings.sample_percent)


def _repair(place: Place, options: RepairOptions, _: Job) -> object:
    from modelward.services.repair import repair

    return repair(
        place.site, options.models, level=options.level, accepted=options.accept_store, dry_run=options.dry_run
    )


def _repair_vault(place: Place, options: RepairVaultOptions, _: Job) -> object:
    from modelward.services.repair_vault import repair_vault

    return repair_vault(place.site, options.models, level=options.level, dry_run=options.dry_run)


def _restore(place: Place, options: RestoreOptions, _: Job) -> object:
    from modelward.services.restore import restore

    return restore(place.site, options.model, options.snapshot, accepted=options.accept_store, dry_run=options.dry_run)


def _pull(place: Place, options: PullOptions, _: Job) -> object:
    from modelward.services.pull import pull

    _require_outside(options.model.parts[0], place)
    return pull(
        place.site,
        options.model,
        accept_moved=options.accept_moved,
        accepted=options.accept_store,
        dry_run=options.dry_run,
    )


def _rollback(place: Place, options: RollbackOptions, _: Job) -> object:
    from modelward.services.rollback import rollback

    return rollback(place.site, options.model, accepted=options.accept_store, dry_run=options.dry_run)


def _pin(place: Place, options: PinOptions, _: Job) -> object:
    from modelward.services.pin import pin

    return pin(place.site, options.model, options.snapshot)


def _unpin(place: Place, options: OneModel, _: Job) -> object:
    from modelward.services.pin import unpin

    return unpin(place.site, options.model)


def _forget(place: Place, options: ForgetOptions, _: Job) -> object:
    from modelward.services.retention import forget

    return forget(place.site, options.models, policy_of(place.policy(), options), dry_run=options.dry_run)


def policy_of(chosen: Policy, options: ForgetOptions) -> Policy:
    """The policy of the settings with what the options say instead; raises EmptyPolicy, BadSetting."""
    within = options.keep_within
    return Policy(
        keep_last=chosen.keep_last if options.keep_last is None else options.keep_last,
        keep_daily=chosen.keep_daily if options.keep_daily is None else options.keep_daily,
        keep_weekly=chosen.keep_weekly if options.keep_weekly is None else options.keep_weekly,
        keep_within=chosen.keep_within if within is None else parse_duration(within) if within else None,
    )


def _undelete(place: Place, options: UndeleteOptions, _: Job) -> object:
    from modelward.services.retention import undelete

    return undelete(place.site, options.snapshot)


def _prune(place: Place, options: PruneOptions, _: Job) -> object:
    from modelward.services.retention import prune

    days = place.settings.trash_days if options.trash_days is None else options.trash_days
    return prune(place.site, timedelta(days=days), dry_run=options.dry_run)


def _reclaim(place: Place, options: ReclaimOptions, _: Job) -> object:
    from modelward.domain.space import GRACE
    from modelward.services.space import space

    grace = parse_duration(options.grace) if options.grace else GRACE
    return space(place.site, reclaim=True, grace=grace, accepted=options.accept_store, dry_run=options.dry_run)


def _protect(place: Place, options: OneModel, _: Job) -> Changed:
    from modelward.services.protect import protect

    return Changed(model=options.model, changed=protect(place.site, options.model))


def _release(place: Place, options: OneModel, _: Job) -> Changed:
    from modelward.services.protect import release

    return Changed(model=options.model, changed=release(place.site, options.model))


def _push(place: Place, options: PushOptions, _: Job) -> object:
    from modelward.services.push import push

    there = Reference.parse(options.target, tag=options.model.tag)
    _require_outside(there.host, place)
    return push(place.site, place.oci_registry(), options.model, options.snapshot, there, dry_run=options.dry_run)


def _fetch(place: Place, options: FetchOptions, _: Job) -> object:
    from modelward.services.fetch_snapshot import fetch

    there = Reference.parse(options.source)
    _require_outside(there.host, place)
    return fetch(place.site, place.oci_registry(), there, options.as_name, dry_run=options.dry_run)


def _drill(place: Place, options: DrillOptions, _: Job) -> object:
    from modelward.services.drill import drill

    return drill(place.site, Path(place.settings.state), options.model, reserve=place.settings.reserve)


def _doctor(place: Place, options: DoctorOptions, _: Job) -> object:
    from modelward.services.doctor import doctor

    level = Level.QUICK if options.quick else Level.FULL
    return doctor(place.site, place.surroundings(), options.models, level=level)


def _require_outside(host: str, place: Place) -> None:
    """Refuse to be sent to an address of this machine or of its own network, unless the settings name it (T11)."""
    settings = place.settings
    named = {host.casefold() for host in settings.plain_http}
    named |= {mirror.partition("=")[0].casefold() for mirror in settings.mirrors}
    if host.casefold() in named or host.casefold() == DEFAULT_HOST:
        return
    place.keep_outside(host)  # the name may lead elsewhere the next time it is looked up
    try:
        found = socket.getaddrinfo(name_of(host), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # nobody is there; the registry's client says so in its own words
    for *_, address in found:
        if reach_of(str(address[0])) > Reach.INTERNET:
            raise BadSetting(
                "leads to an address of this machine or its network",
                thing=host,
                next_step="name the host in the setting plain_http or mirrors, or use the command line",
            )


_ALL: Final = (
    Verb(
        name="backup",
        about="Prove every byte, then keep a snapshot of what changed.",
        options=BackupOptions,
        run=_backup,
        create_vault=True,
    ),
    Verb(name="verify", about="Say of each model whether its bytes are right.", options=VerifyOptions, run=_verify),
    Verb(
        name="verify-vault",
        about="Say of each model whether the vault's copies are right.",
        options=VerifyOptions,
        run=_verify_vault,
    ),
    Verb(name="repair", about="Find what is damaged and heal it.", options=RepairOptions, run=_repair),
    Verb(
        name="repair-vault",
        about="Heal the vault's own copies, from the store and every other source.",
        options=RepairVaultOptions,
        run=_repair_vault,
    ),
    Verb(name="restore", about="Bring a version of a model back.", options=RestoreOptions, run=_restore),
    Verb(name="pull", about="Download a model, and prove every byte.", options=PullOptions, run=_pull),
    Verb(name="rollback", about="Go back to the version before.", options=RollbackOptions, run=_rollback),
    Verb(name="pin", about="Hold a model to a version.", options=PinOptions, run=_pin),
    Verb(name="unpin", about="Let a model follow its tag again.", options=OneModel, run=_unpin),
    Verb(
        name="forget",
        about="Move old versions to the trash by policy.",
        options=ForgetOptions,
        run=_forget,
        grave=True,
    ),
    Verb(
        name="undelete",
        about="Bring a forgotten version back from the trash.",
        options=UndeleteOptions,
        run=_undelete,
    ),
    Verb(name="prune", about="Free the bytes that nothing needs.", options=PruneOptions, run=_prune, grave=True),
    Verb(
        name="space-reclaim",
        about="Remove orphans and leftovers of downloads that are old enough.",
        options=ReclaimOptions,
        run=_reclaim,
        grave=True,
    ),
    Verb(name="protect", about="Protect a model that was released.", options=OneModel, run=_protect),
    Verb(
        name="release",
        about="End a model's protection: its deletion is no damage any more.",
        options=OneModel,
        run=_release,
        grave=True,
    ),
    Verb(name="push", about="Send a snapshot to an OCI registry.", options=PushOptions, run=_push, grave=True),
    Verb(
        name="fetch",
        about="Bring a snapshot from an OCI registry into the vault.",
        options=FetchOptions,
        run=_fetch,
        grave=True,
        create_vault=True,
    ),
    Verb(name="drill", about="Rehearse a restore into scratch, and time it.", options=DrillOptions, run=_drill),
    Verb(name="doctor", about="Name the cause of what is lost or damaged.", options=DoctorOptions, run=_doctor),
)
VERBS: Final[Mapping[str, Verb]] = MappingProxyType({verb.name: verb for verb in _ALL})
