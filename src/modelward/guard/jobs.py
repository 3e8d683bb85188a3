"""Jobs: work that takes long, one after the other, with progress that others can look at, and that can be cancelled."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from modelward.domain.errors import Interrupted, ModelwardError, StorageError, UnknownJob
from modelward.domain.history import JobRow
from modelward.domain.name import ModelName
from modelward.domain.standing import JobState, JobView
from modelward.ports import Clock, Journal, Progress

Run = Callable[["Job"], object]
_KEPT = 200  # ended jobs that can still be looked at
_TOLD = 50  # of these with their report: that of a thousand models is large
_STEPS = 200  # stages and steps of one job that are kept
_WORDS = 2  # of a stage's label; what follows may be a path
_OVER = threading.Event()  # the wish to stop of all jobs that are over: one each would be a kilobyte for nothing
_OVER.set()


class Step(NamedTuple):
    """A stage of a job, or a step of a plan within it: when, how many bytes, and how it failed where it did."""

    name: str
    stage: bool
    began: datetime
    ended: datetime | None = None
    bytes: int = 0
    model: str = ""
    error: str = ""


class Steps:
    """The first stages and steps of a job, each step behind its stage; ``unkept`` counts the others."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self.kept: list[Step] = []
        self.unkept = 0

    def stage(self, label: str, done: int) -> None:
        """A stage begins; the one before it is over, with ``done`` bytes."""
        self.end(done)
        self._keep(Step(name=" ".join(label.split()[:_WORDS]), stage=True, began=self._clock.now()))

    def end(self, done: int) -> None:
        """The present stage, if there is one, is over."""
        with self._lock:
            open_ones = (index for index, step in enumerate(self.kept) if step.stage and step.ended is None)
            if (index := next(open_ones, None)) is not None:
                self.kept[index] = self.kept[index]._replace(ended=self._clock.now(), bytes=done)

    def step(self, keys: dict[str, object]) -> None:
        """A step of a plan is over, as its event tells."""
        now, took = self._clock.now(), keys.get("seconds")
        self._keep(
            Step(
                name=str(keys.get("step", "step")),
                stage=False,
                began=now - timedelta(seconds=took if isinstance(took, int | float) else 0),
                ended=now,
                bytes=moved if isinstance(moved := keys.get("bytes"), int) else 0,
                model=str(keys.get("model", "")),
                error=str(keys.get("error", "")),
            )
        )

    def _keep(self, step: Step) -> None:
        with self._lock:
            if len(self.kept) < _STEPS:
                self.kept.append(step)
            else:
                self.unkept += 1


class Job:
    """One job: its present view, how to do it, and the wish to stop. It is the progress of its own work."""

    def __init__(
        self, view: JobView, run: Run, log: Progress, changed: Callable[[], None], steps: Steps | None = None
    ) -> None:
        """``steps`` is where its stages and steps are kept, for who wants to know them later."""
        self.view, self._run, self._log, self._changed = view, run, log, changed
        self.steps = steps
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

    def forget_report(self) -> None:
        """It is over for long: that it ran, when, and how it ended is enough."""
        if self.view.report is not None:
            self.view = msgspec.structs.replace(self.view, report=None)

    def begin(self, label: str, total: int) -> None:
        """A stage of ``total`` bytes begins."""
        if self.steps is not None:
            self.steps.stage(label, self.view.done)
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
        if event == "step" and self.steps is not None:
            self.steps.step(keys)

    def change(self, **fields: object) -> None:
        """Replace fields of the view, and tell who watches."""
        with self._lock:
            self.view = msgspec.structs.replace(self.view, **fields)
        self._changed()


class Jobs:
    """The queue of jobs and the memory of ended ones; ``told``, where it is given, is called with each ended one."""

    def __init__(self, clock: Clock, log: Progress, journal: Journal, changed: Callable[[], None]) -> None:
        self._clock, self._log, self._journal, self._changed = clock, log, journal, changed
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: list[Job] = []
        self._lock = threading.Lock()
        self.told: Callable[[Job], None] | None = None

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
        return Job(view, run, self._log, self._changed, Steps(self._clock) if self.told is not None else None)

    def _forget_old(self) -> None:
        ended = [name for name, job in self._jobs.items() if job.view.over]
        for name in ended[:-_KEPT]:
            del self._jobs[name]
        for name in ended[-_KEPT:-_TOLD]:
            self._jobs[name].forget_report()

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
        job.stop = _OVER
        view = job.view
        self._tell(job)
        self._keep(lambda: self._journal.job_end(view.id, view.state.value, view.error, self._clock.now()))
        return view

    def _tell(self, job: Job) -> None:
        if job.steps is not None and self.told is not None:
            job.steps.end(job.view.done)
            self.told(job)

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
