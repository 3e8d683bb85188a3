"""Secrets that stand in a file of their own, as containers and systemd hand them out."""

from pathlib import Path
from typing import Final

from modelward.domain.errors import BadSetting

LONGEST: Final = 64 << 10


def lines(path: str, setting: str) -> tuple[str, ...]:
    """The file's lines without blanks around them, empty ones and ``#`` comments left out; none for an empty path.

    Raises BadSetting, naming the ``setting`` and never what stands in the file.
    """
    if not path:
        return ()
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no text in UTF-8"
        raise _bad(f"the file {path} cannot be read: {why}", setting) from None
    if len(text) > LONGEST:
        raise _bad(f"the file {path} has more than {LONGEST:,} characters", setting)
    found = (line.strip() for line in text.splitlines())
    return tuple(line for line in found if line and not line.startswith("#"))


def single(path: str, setting: str) -> str:
    """The one line that stands in the file, empty for an empty path; raises BadSetting for none, or several."""
    found = lines(path, setting)
    if path and len(found) != 1:
        raise _bad(f"the file {path} has {len(found)} lines, not one", setting)
    return found[0] if found else ""


def _bad(what: str, setting: str) -> BadSetting:
    return BadSetting(what, thing=setting, next_step=f"name a file that this user may read, or leave {setting} out")
