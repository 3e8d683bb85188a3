"""What ``modelward import`` does with a layout, GGUF files or a store; the verb itself is in import_.py."""

from collections.abc import Mapping
from pathlib import Path

from modelward.cli.options import workplace
from modelward.domain.name import ModelName


def import_from(
    path: str, form: str, as_name: str, flags: Mapping[str, str | bool], *, json: bool, dry_run: bool
) -> int:
    """Take what lies at ``path`` (its ``form`` by ``services.adopt.recognise``) into the vault, print the report.

    ``flags`` are those of the command line; for ``store`` the path takes the place of ``--store``.
    """
    from modelward.cli.render import show
    from modelward.services.adopt import adopt

    name = ModelName.parse(as_name) if as_name else None
    opened = {**flags, "store": path} if form == "store" else flags
    with workplace(opened, json=json, create_vault=not dry_run, storeless=True) as place:
        report = adopt(place.site, Path(path), form, name, dry_run=dry_run)
    show("import-from", report, json=json)
    return report.exit_code
