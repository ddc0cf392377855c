"""A device that answers as a script says, for what no real device does on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from fusekit.devices.device import Completed, DeviceError, Facts, Lock, Transport

from .fake_record import FACTS

Message = Mapping[str, object]
HOST_LINE: Message = {
    "type": "host",
    "arch": "aarch64",
    "cpu_part": "0xd0b",
    "n_cpus": 4,
    "governor": "ondemand",
    "freq_khz": 2_400_000,
    "temp_mc": 50_000,
    "throttled": None,
    "load1": 0.5,
}


class FakeDevice:
    """`answer` gets the runner's arguments and returns its lines; `outputs` are the files it leaves."""

    transport: Transport = "ssh"
    target = "host"

    def __init__(
        self,
        answer: Callable[[Sequence[str]], Sequence[Message]],
        outputs: Mapping[str, bytes],
        *,
        emulated: bool = False,
        exit_code: int = 0,
        dies: DeviceError | None = None,
    ) -> None:
        self.name = "fake-board"
        self.emulated = emulated
        self.commands: list[Sequence[str]] = []
        self.files: Mapping[str, bytes] = {}
        self._answer = answer
        self._outputs = outputs
        self._exit_code = exit_code
        self._dies = dies

    def put(self, files: Mapping[str, bytes]) -> str:
        self.files = files
        return "/board/run"

    def run(self, argv: Sequence[str], *, cwd: str, timeout_s: float) -> Completed:
        assert cwd == "/board/run" and timeout_s > 0
        self.commands.append(argv)
        if self._dies is not None:
            raise self._dies
        lines = [json.dumps(message) for message in self._answer(argv)]
        return Completed(self._exit_code, "\n".join(lines).encode(), b"")

    def get(self, path: str, limit_bytes: int) -> bytes:
        return self._outputs[path.rpartition("/")[2]][:limit_bytes]

    def probe(self) -> Facts:
        return FACTS

    def lock(self, owner: str, *, for_s: float, wait_s: float = 0) -> AbstractContextManager[None]:
        return nullcontext()

    def locked(self) -> Lock | None:
        return None

    def unlock(self) -> Lock | None:
        return None

    def clean(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def nonce_of(argv: Sequence[str]) -> str:
    """The nonce that the runner was given."""
    return argv[argv.index("--nonce") + 1]


def lines_of(argv: Sequence[str], symbols: Sequence[str]) -> list[Message]:
    """What the runner says when all goes well."""
    lines: list[Message] = [HOST_LINE]
    for symbol in symbols:
        lines.append(
            {
                "type": "variant",
                "symbol": symbol,
                "threads": 1,
                "arena_bytes": 64,
                "load_ns": 5,
                "first_run_ns": 9,
            }
        )
    if "--check-only" not in argv:
        for number in range(2):
            lines += [
                {"type": "samples", "symbol": s, "round": number, "ns": [100, 110, 105]} for s in symbols
            ]
        lines += [{"type": "steps", "symbol": symbol, "ns": [[50, 51], [49, 52]]} for symbol in symbols]
    lines.append({**HOST_LINE, "type": "host_after"})
    lines.append({"type": "end", "nonce": nonce_of(argv), "ok": True})
    return lines
