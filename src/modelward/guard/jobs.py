"""Jobs: work that takes long, one after the other, with progress that others can look at, and that can be cancelled."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import msgspec

from modelward.domain.errors import Interrupted, ModelwardError, StorageError, UnknownJob
from modelward.domain.history import JobRow
from modelward.domain.name import ModelName
from modelward.domain.standing import JobState, JobView
from modelward.ports import Clock, Journal, Progress

Run = Callable[["Job"], object]
_KEPT = 200  # ended jobs that can still be looked at


class Job:
    """One job: its present view, how to do it, and the wish to stop. It is the progress of its own work."""

    def __init__(self, view: JobView, run: Run, log: Progress, changed: Callable[[], None]) -> None:
        self.view, self._run, self._log, self._changed = view, run, log, changed
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> object:
        """Do it, once. What it works on is let go of: the ended job is looked at long after, open folders are not."""
        run = self._run
        self.drop()
        return run(self)

    def drop(self) -> None:
        """It will not be done any more."""
        self._run = _nothing

    def begin(self, label: str, total: int) -> None:
        """A stage of ``total`` bytes begins."""
        self.change(stage=label, done=0, total=total)

    def advance(self, count: int) -> None:
        """``count`` more bytes are done; watchers are told a hundred times a stage at most."""
        with self._lock:
            before, done = self.view.done, self.view.done + count
            self.view = msgspec.structs.replace(self.view, done=done)
            part = max(1, self.view.total // 100)
        if before // part != done // part:
            self._changed()

    def say(self, event: str, **keys: object) -> None:
        """Log what happened, with the job that it belongs to."""
        self._log.say(event, job=self.view.id, **keys)

    def change(self, **fields: object) -> None:
        """Replace fields of the view, and tell who watches."""
        with self._lock:
            self.view = msgspec.structs.replace(self.view, **fields)
        self._changed()


class Jobs:
    """The queue of jobs and the memory of ended ones."""

    def __init__(self, clock: Clock, log: Progress, journal: Journal, changed: Callable[[], None]) -> None:
        self._clock, self._log, self._journal, self._changed = clock, log, journal, changed
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: list[Job] = []
        self._lock = threading.Lock()

    def submit(self, kind: str, models: tuple[ModelName, ...], cause: str, run: Run) -> JobView:
        """Queue a job and return its view; one that waits for the same is returned instead of a second one."""
        with self._lock:
            for waiting in self._waiting:
                if (waiting.view.kind, waiting.view.models, waiting.view.cause) == (kind, models, cause):
                    return waiting.view
            job = self._made(kind, models, cause, run)
            self._jobs[job.view.id] = job
            self._waiting.append(job)
            self._forget_old()
        self._changed()
        return job.view

    def now(self, kind: str, models: tuple[ModelName, ...], cause: str, run: Run, stop: threading.Event) -> JobView:
        """Do a job at once, in the calling thread; it can be watched and cancelled like any other."""
        job = self._made(kind, models, cause, run)
        if stop.is_set():
            job.stop.set()
        with self._lock:
            self._jobs[job.view.id] = job
            self._forget_old()
        return self.carry_out(job)

    def _made(self, kind: str, models: tuple[ModelName, ...], cause: str, run: Run) -> Job:
        view = JobView(
            id=secrets.token_hex(6),
            kind=kind,
            models=models,
            cause=cause,
            state=JobState.WAITING,
            asked_at=self._clock.now(),
        )
        return Job(view, run, self._log, self._changed)

    def _forget_old(self) -> None:
        ended = [name for name, job in self._jobs.items() if job.view.over]
        for name in ended[: max(0, len(ended) - _KEPT)]:
            del self._jobs[name]

    def get(self, name: str) -> JobView:
        """The view of a job; raises UnknownJob."""
        return self._job(name).view

    def list(self) -> tuple[JobView, ...]:
        """All jobs, the newest first."""
        with self._lock:
            return tuple(job.view for job in reversed(self._jobs.values()))

    def cancel(self, name: str) -> JobView:
        """Stop a job: one that waits never begins, one that runs ends at its next chunk."""
        job = self._job(name)
        job.stop.set()
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                job.drop()
                job.view = msgspec.structs.replace(job.view, state=JobState.CANCELLED, ended_at=self._clock.now())
        self._changed()
        return job.view

    def stop_all(self) -> None:
        """Stop what runs, and let nothing begin any more."""
        with self._lock:
            jobs, self._waiting = list(self._jobs.values()), []
        for job in jobs:
            job.stop.set()

    def take(self) -> Job | None:
        """The next job to do, or None."""
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def running(self) -> tuple[Job, ...]:
        """The jobs that are being done now."""
        with self._lock:
            return tuple(job for job in self._jobs.values() if job.view.state is JobState.RUNNING)

    def carry_out(self, job: Job) -> JobView:
        """Do a job to its end, and keep in the journal that it ran; every error becomes its outcome."""
        job.change(state=JobState.RUNNING, began_at=self._clock.now())
        self._keep(lambda: self._journal.job_begin(_row(job.view)))
        job.change(**self._outcome(job))
        view = job.view
        self._keep(lambda: self._journal.job_end(view.id, view.state.value, view.error, self._clock.now()))
        return view

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StorageError as error:
            self._log.say("journal_failed", error=str(error))

    def _outcome(self, job: Job) -> dict[str, object]:
        try:
            report = job.run()
            return _ended(JobState.DONE, self._clock.now(), report=report, exit_code=getattr(report, "exit_code", 0))
        except Interrupted as error:
            return _ended(JobState.CANCELLED, self._clock.now(), error=str(error), exit_code=error.exit_code)
        except ModelwardError as error:
            return _ended(JobState.FAILED, self._clock.now(), error=str(error), exit_code=error.exit_code)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one job must not end the guard
            self._log.say("internal_error", error=f"{type(error).__name__}: {error}", kind=job.view.kind)
            return _ended(JobState.FAILED, self._clock.now(), error=f"internal error: {error}", exit_code=70)

    def _job(self, name: str) -> Job:
        with self._lock:
            job = self._jobs.get(name)
        if job is None:
            raise UnknownJob("no such job", thing=name[:40], next_step="list them with: GET /api/v1/jobs")
        return job


def _nothing(job: Job) -> None:
    del job


def _ended(state: JobState, at: datetime, **fields: object) -> dict[str, object]:
    return {"state": state, "ended_at": at, **fields}


def _row(view: JobView) -> JobRow:
    return JobRow(
        id=view.id,
        kind=view.kind,
        models=tuple(str(name) for name in view.models),
        cause=view.cause,
        began_at=view.began_at or view.asked_at,
    )
