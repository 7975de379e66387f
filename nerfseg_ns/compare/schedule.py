"""Runs jobs side by side, each in a process of its own and after those that it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import Collection, Dict, List, Sequence

from nerfseg_ns.compare.folder import CompareFolder, Result
from nerfseg_ns.compare.jobfile import JobFile
from nerfseg_ns.compare.plan import PlannedJob
from nerfseg_ns.compare.progress import JobProgress

JOB_COMMAND = (sys.executable, "-m", "nerfseg_ns.compare.job")
"""Takes the job's file as its last word."""
PAUSE = 0.1
"""Seconds between two looks at the processes."""
GRACE = 10.0
"""Seconds that a process has to end when it is told to."""


def unfinished(folder: CompareFolder, jobs: Sequence[PlannedJob], methods: Collection[str]) -> List[PlannedJob]:
    """The jobs that have to run, each after those that it needs: nothing is made that no unfinished method needs.

    Args:
        folder: of the comparison.
        jobs: all of them.
        methods: that are asked for; the others are there for these.
    """
    found: Dict[str, PlannedJob] = {}

    def add(job: PlannedJob) -> None:
        if job.name not in found and folder.result(job) is None:
            for need in job.needs:
                add(need)
            found[job.name] = job

    for job in jobs:
        if job.method in methods:
            add(job)
    return list(found.values())


class Schedule:
    """Runs jobs.

    Args:
        folder: of the comparison.
        jobs: to run, each after those that it needs.
        processes: how many run side by side.
        threads: of torch, for each.
    """

    def __init__(self, folder: CompareFolder, jobs: Sequence[PlannedJob], processes: int, threads: int) -> None:
        self.folder, self.processes, self.threads = folder, processes, threads
        self.failed: Dict[str, str] = {}
        """Names of the jobs that failed, and of those left out since they need one, with the reason."""
        self._waiting = list(jobs)
        self._jobs = {job.name: job for job in jobs}
        self._running: Dict[str, subprocess.Popen] = {}

    def run(self) -> None:
        """Returns when every job has finished or failed. Where it is interrupted itself, it ends the processes."""
        with JobProgress(len(self._waiting)) as progress:
            try:
                while self._waiting or self._running:
                    self._leave_out(progress)
                    self._start(progress)
                    time.sleep(PAUSE)
                    self._collect(progress)
            finally:
                self._end_processes()

    def _leave_out(self, progress: JobProgress) -> None:
        for job in list(self._waiting):
            lost = [need.name for need in job.needs if need.name in self.failed]
            if lost:
                self._waiting.remove(job)
                self._fail(job.name, f"left out, since it needs {lost[0]}", progress)

    def _start(self, progress: JobProgress) -> None:
        for job in list(self._waiting):
            unfinished = {*self._running, *(other.name for other in self._waiting)}
            if len(self._running) < self.processes and not any(need.name in unfinished for need in job.needs):
                self._waiting.remove(job)
                self._running[job.name] = self._open(job)
                progress.start(job.name)

    def _open(self, job: PlannedJob) -> subprocess.Popen:
        """Starts a job in its folder, which is made anew."""
        shutil.rmtree(self.folder.of(job), ignore_errors=True)
        file = JobFile.of(job, self.folder, self.threads)
        file.save()
        with self.folder.log(job).open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [*JOB_COMMAND, str(file.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            )

    def _collect(self, progress: JobProgress) -> None:
        for name, process in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[name]
            result = self.folder.result(self._jobs[name])
            if process.returncode == 0 and result is not None:
                progress.end(name, _outcome(result))
            else:
                self._fail(name, self._reason(name, process.returncode), progress)

    def _fail(self, name: str, reason: str, progress: JobProgress) -> None:
        self.failed[name] = reason
        progress.end(name, f"failed: {reason}")

    def _reason(self, name: str, status: int) -> str:
        """Why a process failed, as far as can be told."""
        if status < 0:
            return f"ended by signal {-status}, as the system does when memory is short"
        log = self.folder.log(self._jobs[name])
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), f"exit status {status}")
        return f"{last} (see {log})"

    def _end_processes(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _outcome(result: Result) -> str:
    """The score that matters, where the job has one."""
    scores = [f"{color} {100 * result['scores'][f'{color}/miou']:.1f} %" for color in result.get("confusion", {})]
    return f"mIoU {', '.join(scores)}" if scores else "finished"
