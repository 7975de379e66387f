"""Stands in for a job's process: notes when it runs in ../../events.txt, and fails or waits where it is told to."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(version: str, job_file: str) -> None:
    job = json.loads(Path(job_file).read_text())
    folder = Path(job["folder"])
    name = folder.name

    def note(event: str) -> None:
        with (folder.parent.parent / "events.txt").open("a") as events:
            events.write(f"{event} {name} {os.getpid()}\n")

    note("start")
    if name in os.environ.get("FAILING_JOBS", ""):
        print("some progress")
        sys.exit("nerfseg: the scene is broken")
    time.sleep(float(os.environ.get("JOB_SECONDS", "0.2")))
    note("end")
    result = {"version": int(version), "digest": job["digest"], "maps_all": job["maps_all"]}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
