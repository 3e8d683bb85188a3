"""The one list of events that a log keeps, and what each means."""

from typing import Final

EVENTS: Final = {
    "snapshot_stored": "a new version of a model is in the vault",
    "backup_refused": "a model was not backed up, because it is damaged or changed all the time",
    "step": "one step of a plan was carried out, or failed",
    "source_failed": "a source gave no good bytes of a blob; the next one is asked",
    "patch_failed": "a patch in place did not hold; the blob is rebuilt in a new file",
}
