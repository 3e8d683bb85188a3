"""Whether a snapshot is sound: the one question that retention, listing and backup ask of the vault."""

from modelward.domain.errors import ModelwardError
from modelward.domain.snapshot import Snapshot
from modelward.ports import Vault


def is_sound(vault: Vault, snapshot: Snapshot) -> bool:
    """Whether the vault vouches for every byte: the small objects proved now, the others by their receipts."""
    try:
        content = vault.content(snapshot)
    except ModelwardError:
        return False
    return all(vault.intact(item.digest, item.size) for item in content.wrapper.objects)
