"""The one list of events that a log keeps, and what each means."""

from typing import Final

EVENTS: Final = {
    "snapshot_stored": "a new version of a model is in the vault",
    "backup_refused": "a model was not backed up, because it is damaged or changed all the time",
    "step": "one step of a plan was carried out, or failed",
    "source_failed": "a source gave no good bytes of a blob; the next one is asked",
    "patch_failed": "a patch in place did not hold; the blob is rebuilt in a new file",
    "alert": "a notice was told: what is wrong, or over (what, severity, title, detail)",
    "alert_failed": "a channel did not take a notice; it is tried again later",
    "alert_lost": "a channel did not take a notice for so long that it was given up",
    "journal_failed": "the journal could not be written to; the guard goes on without",
    "api_failed": "a request to the API ended in a fault of the program itself",
}
