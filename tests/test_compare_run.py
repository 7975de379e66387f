"""`nerfseg compare`: how jobs run, what becomes of failures, and what is left."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.comparisons import names_of, scene_info
from helpers.scenes import write_tree

from nerfseg_ns.compare import run, schedule
from nerfseg_ns.compare.config import CompareConfig
from nerfseg_ns.compare.folder import VERSION, CompareFolder
from nerfseg_ns.compare.plan import plan_jobs
from nerfseg_ns.compare.run import run_compare, share_cores
from nerfseg_ns.compare.schedule import Schedule, unfinished


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(run, "device_type", lambda: "cpu")
    assert [share_cores(wanted, 20) for wanted in (0, 1, 3, 16)] == [(8, 1), (1, 8), (3, 2), (16, 1)]
    assert share_cores(0, 2) == (2, 4) and share_cores(0, 0) == (1, 8)
    monkeypatch.setattr(run, "device_type", lambda: "cuda")
    assert share_cores(0, 20) == (1, 8) and share_cores(2, 20) == (2, 4)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> CompareFolder:
    """Jobs are played by a script."""
    script = Path(__file__).parent / "helpers" / "compare_job.py"
    monkeypatch.setattr(schedule, "JOB_COMMAND", (sys.executable, str(script), str(VERSION)))
    monkeypatch.setattr(schedule, "PAUSE", 0.02)
    return CompareFolder(tmp_path / "out")


def events(folder: CompareFolder) -> list[tuple[str, str, int]]:
    """What the script noted: start or end, the job, its process."""
    lines = [line.split() for line in (folder.root / "events.txt").read_text().splitlines()]
    return [(event, job, int(process)) for event, job, process in lines]


CONFIG = CompareConfig(methods=("unet", "fast", "transfer", "unet+maps"))


def test_jobs_run_side_by_side_after_those_that_they_need(folder):
    jobs = plan_jobs([scene_info()], CONFIG)
    scheduled = Schedule(folder, unfinished(folder, jobs, CONFIG.methods), processes=2, threads=1)
    scheduled.run()
    assert scheduled.failed == {} and all(folder.result(job) is not None for job in jobs)
    running, most, done = set(), 0, set()
    needs = {job.name.split("/")[1]: {need.name.split("/")[1] for need in job.needs} for job in jobs}
    for event, job, _ in events(folder):
        if event == "start":
            assert needs[job] <= done
            running.add(job)
            most = max(most, len(running))
        else:
            running.remove(job)
            done.add(job)
    assert most == 2 and done == set(needs)


def test_finished_jobs_are_not_run_again(folder, capsys):
    jobs = plan_jobs([scene_info()], CONFIG)
    Schedule(folder, unfinished(folder, jobs, CONFIG.methods), 4, 1).run()
    assert unfinished(folder, jobs, CONFIG.methods) == []
    by_name = {job.name.split("/")[1]: job for job in jobs}
    (folder.of(by_name["nerfseg-fast-stage-1-seed-0"]) / "result.json").unlink()
    assert unfinished(folder, jobs, CONFIG.methods) == []  # nothing needs it any more
    (folder.of(by_name["transfer-seed-0"]) / "result.json").write_text("cut o")
    assert names_of(unfinished(folder, jobs, CONFIG.methods)) == [
        "town/nerfseg-fast-stage-1-seed-0",
        "town/transfer-seed-0",
    ]
    changed = plan_jobs([scene_info()], replace(CONFIG, cnn_epochs=3))
    assert "town/unet-seed-0" in names_of(unfinished(folder, changed, CONFIG.methods))
    assert names_of(unfinished(folder, jobs, ("unet",))) == []


def test_a_result_without_the_maps_that_are_needed_does_not_count(folder):
    scene = scene_info(known={0: 0})
    alone = CompareConfig(methods=("fast",))
    jobs = plan_jobs([scene], alone)
    Schedule(folder, unfinished(folder, jobs, alone.methods), 1, 1).run()
    both = CompareConfig(methods=("fast", "unet+maps"))
    jobs = plan_jobs([scene], both)
    todo = unfinished(folder, jobs, both.methods)
    assert names_of(todo) == ["town/fast-seed-0", "town/unet+maps-seed-0"]
    Schedule(folder, todo, 1, 1).run()
    assert unfinished(folder, plan_jobs([scene], alone), alone.methods) == []  # more maps than needed do no harm


def test_a_failed_job_stops_only_those_that_need_it(folder, monkeypatch, capsys):
    monkeypatch.setenv("FAILING_JOBS", "fast-seed-0")
    jobs = plan_jobs([scene_info()], CONFIG)
    scheduled = Schedule(folder, unfinished(folder, jobs, CONFIG.methods), 2, 1)
    scheduled.run()
    assert set(scheduled.failed) == {"town/fast-seed-0", "town/unet+maps-seed-0"}
    log = folder.root / "town/fast-seed-0/log.txt"
    assert scheduled.failed["town/fast-seed-0"] == f"nerfseg: the scene is broken (see {log})"
    assert "needs town/fast-seed-0" in scheduled.failed["town/unet+maps-seed-0"]
    assert "some progress" in log.read_text()
    finished = [job.name for job in jobs if folder.result(job) is not None]
    assert finished == ["town/unet-seed-0", "town/nerfseg-fast-stage-1-seed-0", "town/transfer-seed-0"]
    told = capsys.readouterr().out
    assert "[5/5]" in told and "town/fast-seed-0: failed: nerfseg: the scene is broken" in told
    monkeypatch.delenv("FAILING_JOBS")
    again = Schedule(folder, unfinished(folder, jobs, CONFIG.methods), 2, 1)
    again.run()
    assert again.failed == {} and unfinished(folder, jobs, CONFIG.methods) == []


def test_a_process_that_the_system_ends_is_told_of(folder, monkeypatch):
    monkeypatch.setenv("JOB_SECONDS", "60")
    jobs = plan_jobs([scene_info()], CompareConfig(methods=("unet",)))
    scheduled = Schedule(folder, jobs, 1, 1)

    collect = scheduled._collect

    def kill(progress) -> None:
        for process in scheduled._running.values():
            process.kill()
            process.wait()
        collect(progress)

    monkeypatch.setattr(scheduled, "_collect", kill)
    scheduled.run()
    assert "signal 9" in scheduled.failed["town/unet-seed-0"] and "memory" in scheduled.failed["town/unet-seed-0"]


def test_an_interruption_ends_the_processes(folder, monkeypatch):
    monkeypatch.setenv("JOB_SECONDS", "60")
    jobs = plan_jobs([scene_info("a"), scene_info("b")], CompareConfig(methods=("unet",)))
    scheduled = Schedule(folder, jobs, 2, 1)
    started = []

    def interrupt(_) -> None:
        path = folder.root / "events.txt"
        started[:] = events(folder) if path.exists() else []
        if len(started) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(scheduled, "_collect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scheduled.run()
    for _, _, process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
    assert all(folder.result(job) is None for job in jobs)


def test_being_told_to_end_is_an_interruption(tmp_path, monkeypatch):
    def terminate(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    monkeypatch.setattr(Schedule, "run", terminate)
    scene = write_tree(tmp_path / "scene")
    with pytest.raises(SystemExit, match="same command goes on where it stopped"):
        run_compare([scene], CompareConfig(output_dir=tmp_path / "out", methods=("unet",)))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
