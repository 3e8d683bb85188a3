"""``modelward audit``: what was done, by whose wish and with what outcome, and whether that record is untouched."""

from enum import StrEnum
from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, workplace
from modelward.domain.audit import AuditFilter
from modelward.domain.name import ModelName

NAME = "audit"


class Deed(StrEnum):
    """What to do."""

    SHOW = "show"
    VERIFY = "verify"


def command(
    deed: Annotated[Deed, typer.Argument(metavar="[show|verify]", help="What to do.")] = Deed.SHOW,
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Entries from then on: 7d, 36h, or a date as 2026-01-05.")
    ] = "",
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="Entries of this model only.")] = "",
    action: Annotated[
        str, typer.Option("--action", metavar="WORD", help="Entries of this action only, for example repair.")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, metavar="N", help="The last N of them; 0: all.")] = 50,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Show every action with its time, its cause and its outcome, or prove that the log is as it was written.

    Each entry names the hash of the one before. `verify` finds any edit, drop, reorder or cut, names its line, and
    ends with exit code 1 then; it also finds a cut that later entries were written behind.
    """
    from modelward.bootstrap import SystemClock
    from modelward.cli.text_audit import show_audit
    from modelward.domain.audit import moment
    from modelward.services import audit

    name = str(ModelName.parse(model)) if model else ""
    begin = moment(since, SystemClock().now()) if since else None
    flags = {"store": store, "vault": vault, "config": config}
    with workplace(flags, json=json, need_vault=True, storeless=True) as place:
        if deed is Deed.VERIFY:
            verdict = audit.verify_audit(place.site)
            show_audit(verdict, json=json)
            return verdict.exit_code
        chosen = AuditFilter(since=begin, model=name, action=action, limit=limit)
        show_audit(audit.show_audit(place.site, chosen), json=json)
    return 0
