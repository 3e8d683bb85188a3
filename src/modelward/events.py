"""The one list of events that a log keeps, and what each means."""

from typing import Final

EVENTS: Final = {
    "snapshot_stored": "a new version of a model is in the vault",
    "backup_refused": "a model was not backed up, because it is damaged or changed all the time",
    "step": "one step of a plan was carried out, or failed",
    "source_failed": "a source gave no good bytes of a blob; the next one is asked",
    "patch_failed": "a patch in place did not hold; the blob is rebuilt in a new file",
    "audit_failed": "what was done could not be told to the vault's audit log",
    "alert": "a notice was told: what is wrong, or over (what, severity, title, detail)",
    "alert_failed": "a channel did not take a notice; it is tried again later",
    "alert_lost": "a channel did not take a notice for so long that it was given up",
    "journal_failed": "the journal could not be written to; the guard goes on without",
    "api_failed": "a request to the API ended in a fault of the program itself",
    "waiting": "a download waits for the hours in which downloads are allowed",
    "pull": "the server downloads a model: one line of its progress",
    "temporary_name_left": "a temporary name of a restore over the API could not be taken away",
    "guard_started": "the guard began; jobs that a killed one had left are counted",
    "guard_stopped": "the guard ended as it was asked to",
    "reloaded": "the settings were read anew (SIGHUP)",
    "reload_failed": "the settings could not be read anew; the old ones hold",
    "look_failed": "the store or the vault could not be looked at; the next look tries again",
    "manifest_not_kept": "a changed manifest could not be copied into the vault",
    "flip": "something went bad, or is good again",
    "probe": "a served model was asked for a token",
    "telemetry_failed": "the collector did not take spans or metrics; told once until it does again",
    "telemetry_back": "the collector takes spans and metrics again (what was lost meanwhile)",
    "brake_released": "a person let the brake go: the guard heals alone again",
    "lane_replaced": "a piece of work hangs and was given up; another thread goes on",
    "metrics_not_written": "model-metrics.json could not be written",
    "internal_error": "a fault of Modelward in one piece of work; the guard goes on",
}
