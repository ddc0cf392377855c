"""Skips that may not be: with FUSEKIT_REQUIRE_LANES=1 a skipped test fails the run.

A lane (QEMU, sshd, a toolchain) that is absent skips its tests with a reason. Where every lane has been installed, such
a skip hides a test, so it is an error; only reasons that start with "host:" pass, for what no installation gives this
machine, such as a CPU feature.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

HOST = "host:"


class LaneGuard:
    """Collects skips and turns them into a failed run."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.skipped:
            terminalreporter.section("lanes that had to run were skipped", red=True)
            for line in self.skipped:
                terminalreporter.line(line)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(HOST):
            self.skipped.append(f"{report.nodeid}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("FUSEKIT_REQUIRE_LANES") == "1":
        config.pluginmanager.register(LaneGuard(), "fusekit-lane-guard")


@pytest.fixture(autouse=True)
def no_user_files(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Tests neither read nor write what a person decided: trusted host keys live in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("FUSEKIT_CONFIG", str(folder))
    yield folder
