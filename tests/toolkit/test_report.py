"""The report: its text names what was measured, and it shows no time that it must not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.image import imread
from pypdf import PdfReader

from fusekit import UserError
from fusekit.toolkit.measure.check import OutputCheck
from fusekit.toolkit.measure.record import Failure, RunRecord
from fusekit.toolkit.report.frame import kernel_frame, sample_frame
from fusekit.toolkit.report.write_report import write_report

from .fake_record import LEVEL_NS, emulated_record, timed_record, timed_session


def text_of(path: Path) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def report(tmp_path: Path, records: Sequence[RunRecord]) -> str:
    (path,) = write_report(records, tmp_path / "report.pdf")
    return text_of(path)


def test_report_names_model_device_and_levels(tmp_path: Path) -> None:
    text = report(tmp_path, timed_session(threads=(1, 4), blocks=3))
    for name in ("mobilenet_v2", "rpi5", "none", "basic", "full", "1 thread", "4 threads", "performance"):
        assert name in text
    assert "Raspberry Pi 5 Model B Rev 1.0" in text
    assert "onnxruntime 1.20.0" in text
    assert "3 of 3 levels right" in text
    assert "GFLOP/s" in text and "Conv + Clip + Conv + Clip" in text


def test_report_of_an_emulated_device_shows_no_times(tmp_path: Path) -> None:
    text = report(tmp_path, [emulated_record(level) for level in LEVEL_NS])
    assert "rpi5-emulated" in text and "not timed" in text
    assert "A time under emulation says nothing about a board, so none is shown." in text
    for unit in (" ms", " µs", "×", "GFLOP/s"):
        assert unit not in text


def test_report_shows_why_there_is_no_number(tmp_path: Path) -> None:
    failed = replace(
        emulated_record("full"),
        checks=(OutputCheck("output", False, 2.0, 0.1, "1 of 9 elements beyond the limit"),),
        error=Failure("check", "output 'output': 1 of 9 elements beyond the limit"),
    )
    lost = replace(emulated_record("none"), checks=(), error=Failure("lost", "the connection was cut"))
    text = report(tmp_path, [lost, failed])
    assert "wrong: 1 of 9 elements beyond the limit" in text
    assert "lost: the connection was cut" in text


def test_report_claims_no_speedup_where_there_is_none(tmp_path: Path) -> None:
    none = timed_record("none", blocks=2)
    text = report(tmp_path, [none, replace(timed_record("full", blocks=2), samples_ns=none.samples_ns)])
    assert "no difference shown" in text


def test_report_of_many_variants_fits_its_pages(tmp_path: Path) -> None:
    records = [
        record
        for number in range(3)
        for record in timed_session(
            threads=(1, 2, 3, 4, 6, 8), model=f"net{number}", session=str(number), blocks=2
        )
    ]
    text = report(tmp_path, [*records, *timed_session(threads=(1, 2, 4, 8), blocks=30, session="long")])
    assert all(f"net{number}" in text for number in range(3))
    assert "/features/29/Conv_1" in text


def test_report_draws_a_png_a_page(tmp_path: Path) -> None:
    written = write_report(timed_session(threads=(1,), blocks=2), tmp_path / "a" / "r.pdf", png=True)
    assert [path.name for path in written] == [
        "r.pdf",
        "r-01-overview.png",
        "r-02-mobilenet_v2-rpi5-timing.png",
        "r-03-mobilenet_v2-rpi5-kernels.png",
        "r-04-mobilenet_v2-rpi5-groups.png",
    ]
    assert len(PdfReader(written[0]).pages) == 4
    assert imread(written[1]).shape[:2] == (909, 1285)


def test_report_refuses_another_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="^a report is a PDF, not 'r.html': give a name like reports/report.pdf$"
    ):
        write_report(timed_session(), tmp_path / "r.html")


def test_frames_have_a_row_a_sample_and_a_row_a_kernel() -> None:
    record = timed_record(blocks=2)
    samples = sample_frame([record, emulated_record()])
    assert len(samples) == sum(len(samples) for samples in record.samples_ns or ())
    assert set(samples["fusion"]) == {"full"}
    kernels = kernel_frame(record)
    assert list(kernels["ops"]) == ["Conv + Clip + Conv + Clip", "Conv + Add"] * 2
    assert (kernels["time_ns"] > 0).all()
