"""The runner's JSON lines, read into what they say; a stream without its nonce is a lost one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from ...devices.device import Completed
from ...devices.printable import printable, printable_lines
from .record import Failure, HostState


@dataclass
class VariantRun:
    """What the runner said of one variant; filled line by line."""

    threads: int
    load_ns: int
    first_run_ns: int
    samples_ns: dict[int, list[int]] = field(default_factory=dict)
    steps_ns: list[tuple[int, ...]] = field(default_factory=list)
    counters: dict[str, int] | None = None
    counters_reason: str | None = None


@dataclass(frozen=True)
class Collected:
    """One run of the runner; with a `failure` nothing else of it may be used as a result."""

    host_before: HostState | None
    host_after: HostState | None
    variants: Mapping[str, VariantRun]
    failure: Failure | None


def collect(completed: Completed, nonce: str) -> Collected:
    """Reads the stream; anything short of the last line with `nonce` and exit code 0 is a failure."""
    before: HostState | None = None
    after: HostState | None = None
    variants: dict[str, VariantRun] = {}
    failure: Failure | None = None
    ended = False
    try:
        for line in completed.stdout.decode("utf-8").splitlines():
            message = _harmless(json.loads(line))
            ended = False
            match message["type"]:
                case "host":
                    before = _host(message)
                case "host_after":
                    after = _host(message)
                case "variant":
                    variants[message["symbol"]] = VariantRun(
                        message["threads"], message["load_ns"], message["first_run_ns"]
                    )
                case "samples":
                    rounds = variants[message["symbol"]].samples_ns
                    rounds.setdefault(message["round"], []).extend(_times(message["ns"]))
                case "steps":
                    variants[message["symbol"]].steps_ns.extend(_times(row) for row in message["ns"])
                case "counters":
                    variants[message["symbol"]].counters = message["counts"]
                    variants[message["symbol"]].counters_reason = message.get("reason")
                case "error":
                    failure = Failure(message["kind"], message["message"])
                case "end":
                    ended = message["nonce"] == nonce and message["ok"] is True
                case other:
                    failure = Failure("failed", f"the runner sent a line of the unknown type '{other}'")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        failure = failure or Failure(
            "lost", printable(f"the runner's answer broke off or is damaged ({error!r})")
        )
    if failure is None and completed.exit_code != 0:
        said = printable_lines(completed.stderr).strip().splitlines()
        reason = f": {printable(said[-1])}" if said else ""
        failure = Failure("failed", f"the runner ended with exit code {completed.exit_code}{reason}")
    if failure is None and not ended:
        failure = Failure("lost", "the runner's answer ends before its last line: the connection was cut")
    return Collected(before, after, variants, failure)


def _host(message: Mapping[str, Any]) -> HostState:
    throttled = message.get("throttled")
    return _host_state().validate_python(
        {
            "arch": message["arch"],
            "cpu": message.get("cpu_part"),
            "n_cpus": message.get("n_cpus"),
            "governor": message.get("governor"),
            "freq_khz": message.get("freq_khz"),
            "temp_mc": message.get("temp_mc"),
            "throttled": None if throttled is None else str(throttled),
            "load1": message.get("load1"),
        }
    )


@cache
def _host_state() -> TypeAdapter[HostState]:
    return TypeAdapter(HostState)


def _harmless(value: Any) -> Any:
    """A value of JSON whose texts are safe to print and whose numbers fit their place; raises ValueError."""
    match value:
        case str():
            return printable(value)
        case None | bool():
            return value
        case int() if abs(value) < 1 << 63:
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return [_harmless(item) for item in value]
        case dict():
            return {printable(key): _harmless(item) for key, item in value.items()}
    raise ValueError(f"{value!r:.40} is too large")


def _times(values: Sequence[object]) -> tuple[int, ...]:
    """Nanoseconds; raises ValueError for anything else."""
    times = tuple(value for value in values if isinstance(value, int) and value >= 0)
    if len(times) != len(values):
        raise ValueError("a time is no number of nanoseconds")
    return times
