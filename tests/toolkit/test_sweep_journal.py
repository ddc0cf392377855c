"""The journal: whole lines count, one process writes, the fold gives what is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusekit import UserError
from fusekit.toolkit.measure.record import Failure
from fusekit.toolkit.measure.statistics import Estimate, Speedup
from fusekit.toolkit.sweep.journal import (
    Built,
    Ended,
    Failed,
    Finished,
    Journal,
    Planned,
    PlannedJob,
    Started,
    Tail,
    read_journal,
)
from fusekit.toolkit.sweep.progress import progress_of
from fusekit.toolkit.sweep.result import Result

PLANNED = Planned("t0", "rack", (PlannedJob("a", "net", "pi5", "r"), PlannedJob("b", "net", "pi4", "r")))
RESULT = Result(1, "full", Estimate(2e6, 1.9e6, 2.1e6), Speedup(1.5, 1.4, 1.6))
DONE = Finished("t3", "a", "net-pi5-a.jsonl", ("0123",), (RESULT,), ("pi5: the clock moved.",))
LOST = Failed("t4", "b", 1, Failure("lost", "pi4 went away"), 5.0)
ENTRIES = (PLANNED, Built("t1", "r", ("0123",)), Started("t2", "a", 1), DONE, Started("t3", "b", 1), LOST)


def write(folder: Path) -> None:
    with Journal(folder) as journal:
        for entry in ENTRIES:
            journal.append(entry)


def test_journal_gives_back_what_was_appended(tmp_path: Path) -> None:
    write(tmp_path / "new")
    assert read_journal(tmp_path / "new") == ENTRIES


def test_journal_without_the_end_of_its_last_line_lacks_that_line_alone(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "journal"
    path.write_bytes(path.read_bytes()[:-9])
    assert read_journal(tmp_path) == ENTRIES[:-1]
    with Journal(tmp_path) as journal:
        journal.append(Ended("t9", interrupted=False))
    assert read_journal(tmp_path) == (*ENTRIES[:-1], Ended("t9", interrupted=False))


def test_journal_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "journal"
    path.write_bytes(path.read_bytes().replace(b'"started"', b'"stirred"'))
    with pytest.raises(
        UserError,
        match=r"journal is damaged, or of another fusekit \(.*\): start the sweep in another folder with -o",
    ):
        read_journal(tmp_path)


def test_journal_has_one_writer(tmp_path: Path) -> None:
    with (
        Journal(tmp_path),
        pytest.raises(UserError, match=r"another process is running the sweep in .*fusekit watch"),
    ):
        Journal(tmp_path)
    Journal(tmp_path).close()


def test_journal_that_is_not_there_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no sweep \(No such file or directory\): give the folder of"):
        read_journal(tmp_path)


def test_tail_reads_on_from_where_it_was(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "journal"
    content = path.read_bytes()
    path.write_bytes(content[:200])
    tail = Tail(path).read()
    path.write_bytes(content)
    assert tail.read().entries == ENTRIES


def test_progress_is_one_state_a_job() -> None:
    progress = progress_of(ENTRIES)
    done, lost = progress.jobs
    assert (done.state, done.results, done.records, done.bundles) == (
        "finished",
        (RESULT,),
        DONE.records,
        ("0123",),
    )
    assert (lost.state, lost.attempts, lost.failure) == ("waiting", 1, LOST.failure)
    assert progress.ended is None


def test_progress_after_another_start_keeps_what_is_done_and_forgets_what_is_not_planned() -> None:
    failed = Failed("t5", "b", 3, Failure("lost", "pi4 went away"), None)
    taken_up = progress_of([*ENTRIES, failed, Ended("t6", interrupted=True), PLANNED])
    assert [job.state for job in taken_up.jobs] == ["finished", "compiling"]
    assert taken_up.ended is None
    shrunk = progress_of([*ENTRIES, Planned("t7", "rack", PLANNED.jobs[1:])])
    assert [job.job.key for job in shrunk.jobs] == ["b"]
