"""What ``modelward export --as oci|gguf|store`` does; the verb itself, with its bundle file, is in export.py."""

from collections.abc import Mapping
from pathlib import Path

from modelward.cli.options import workplace
from modelward.domain.errors import BadSetting
from modelward.domain.name import ModelName

FORMS = ("oci", "gguf", "store")


def export_as(model: str, target: str, form: str, flags: Mapping[str, str | bool], *, json: bool, dry_run: bool) -> int:
    """Hand ``MODEL[@SNAPSHOT]`` out to a folder, print the report, and return the exit code.

    ``flags`` are those of the command line; for ``store`` the target takes the place of ``--store``.
    """
    from modelward.cli.render import show
    from modelward.services.hand_out import hand_out

    if form not in FORMS:
        raise BadSetting("not a form to export to", thing=repr(form), next_step=f"write {', '.join(FORMS)} or bundle")
    name, _, snapshot = model.partition("@")
    to_store = form == "store"
    opened = {**flags, "store": target} if to_store else flags
    with workplace(opened, json=json, need_vault=True, create_store=to_store and not dry_run, storeless=True) as place:
        report = hand_out(place.site, ModelName.parse(name), snapshot, Path(target), form, dry_run=dry_run)
    show("export-to", report, json=json)
    return report.exit_code
