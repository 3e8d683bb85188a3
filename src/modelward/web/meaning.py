"""What a finding means for somebody who has to decide, and which verb heals it."""

from typing import Final, NamedTuple

from modelward.domain import finding as f
from modelward.domain.standing import ModelStanding
from modelward.domain.words import describe, way_out
from modelward.web.words import Mark


class Advice(NamedTuple):
    """A finding for the page: what it is, what it means, what to do, and the verb of the button that does it."""

    mark: Mark
    kind: str
    text: str
    means: str
    todo: str
    verb: str = ""
    command: str = ""


_MEANS: Final[dict[type, str]] = {
    f.Missing: "A file that the model needs is not in the store. The server cannot load the model without it.",
    f.Truncated: "The file ends too early, as after a cut download or a power cut. The server fails to load it, or "
    "reads nonsense behind the cut.",
    f.Oversized: "Bytes follow where the blob should end. The blob itself may be whole, but its digest is not right.",
    f.Corrupt: "These bytes are not those that the digest promises; a second read agreed. Answers may be wrong without "
    "any error.",
    f.Unreadable: "The disk gives an error for these bytes. This is a sign of a failing disk: heal, then check it.",
    f.UnstableRead: "Two reads of the same bytes differ. The file may be whole: memory, cable or controller is not. "
    "Nothing is repaired on this host, for what is written could be wrong as well.",
    f.NotRegular: "Something else than a plain file stands under the blob's name. It is never followed.",
    f.WrongOwner: "The bytes are there, but the server may not read them.",
    f.ManifestLost: "The server does not list the model any more, and removes its blobs at its next start.",
    f.ManifestDamaged: "The server cannot read which blobs belong to the model, so it does not list it.",
    f.RecordDamaged: "The vault's note of this version is damaged. What it said is known from the rest of the vault.",
    f.Changed: "Somebody wrote to the file while it was read. That is no verdict: it is looked at again.",
    f.BadEntry: "No model can have this file or folder. It does no harm, but nothing that it names is known.",
    f.CaseTwin: "On a file system that does not tell upper from lower case the two would be one.",
    f.Orphan: "No manifest names the blob. The server removes it at its next start.",
    f.Partial: "A download was begun and not finished.",
    f.StoreEmpty: "Perhaps another folder was mounted here, or the server reads another store. Downloading everything "
    "again is the classic wrong cure.",
    f.StoreMoved: "Another folder stands where the store was. Nothing is written into it until you say that it is "
    "meant.",
    f.StoreUnmounted: "The disk that holds the store is not there. The models are most likely whole, on that disk.",
    f.WrongStore: "The server serves models from elsewhere: what is healed here would not help it.",
}
_HARMLESS: Final = {
    f.Changed: "Nothing: the guard looks again by itself.",
    f.BadEntry: "Remove it, or leave it.",
    f.CaseTwin: "Rename one of them where the store has to work on macOS or Windows.",
    f.Orphan: "Nothing, or free the space: see the vault page.",
    f.Partial: "Nothing, or free the space: see the vault page.",
}


def advice(finding: f.Finding, model: ModelStanding | None) -> Advice:
    """A finding of a model, or of the store itself (None)."""
    text, means, kind = describe(finding), _MEANS[type(finding)], _spaced(type(finding).__name__)
    if not finding.damage:
        return Advice(Mark("unread", "no damage"), kind, text, means, _HARMLESS[type(finding)])
    if isinstance(finding, f.StoreFinding):
        return Advice(Mark("loss", "store"), kind, text, means, _sentence(way_out(finding)))
    if isinstance(finding, f.UnstableRead):
        mark = Mark("loss", "unstable read")
        return Advice(mark, kind, text, means, "Test memory and cables of this machine, then verify again.", "verify")
    return _healed(finding, model, text, means, kind)


def _healed(finding: f.Finding, model: ModelStanding | None, text: str, means: str, kind: str) -> Advice:
    """Damage: repaired from a copy, or, where there is none, downloaded again."""
    name = model.name.short if model is not None else ""
    if isinstance(finding, f.WrongOwner):
        todo = "Give the file back its owner and mode: repair does."
        return Advice(Mark("harm", "damaged"), kind, text, means, todo, "repair", f"modelward repair {name}")
    if model is None or model.recoverable:
        todo = "Repair it: only the damaged part is brought from the cheapest good source, and proved."
        return Advice(Mark("harm", "recoverable"), kind, text, means, todo, "repair", f"modelward repair {name}")
    todo = "The vault has no good copy. Repair asks every other source; else download the model again."
    return Advice(Mark("loss", "no copy"), kind, text, means, todo, "repair", f"modelward pull {name}")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _spaced(name: str) -> str:
    """The finding's own word, apart: ``ManifestLost`` becomes ``manifest lost``."""
    return "".join(
        f" {char.lower()}" if char.isupper() and number else char for number, char in enumerate(name)
    ).lower()
