"""The lock of a device, so that two people never time at once: one file in its work folder, with owner and expiry.

Its line is `TOKEN BOOT SINCE UNTIL CLIENT OWNER`. Times are seconds since the device was switched on and BOOT names
that switching on, so that setting a clock, there or here, neither frees a held lock nor holds one for ever, and a lock
does not outlive a restart. A device without /proc/uptime counts by its clock.

The file appears whole, by `ln`, which fails where there is one. Who removes the lock of TOKEN first links it to
`lock.TOKEN`, which one alone can do: so nobody removes the lock of a successor. Neither step needs space on the disk.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from shlex import quote

from .client import client_id, is_dead
from .device import DeviceError, Lock
from .printable import printable
from .work_folder import make_and_enter

# Asking disturbs what is timed there.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
# Removing a lock takes microseconds: what is in the way for longer was left by one who was ended meanwhile.
_STUCK_AFTER_S = 5.0
_LINE_BYTES = 600
_TOKEN = re.compile("[0-9a-f]{1,32}")
# Thirty years of seconds have nine digits; what a device says may have any number.
_SECONDS = re.compile("[0-9]{1,10}")
_CLOCK = """boot= now=
{ read -r boot < /proc/sys/kernel/random/boot_id; read -r now rest < /proc/uptime; } 2>/dev/null
[ -n "$boot" ] || boot=unknown
now=${now%%.*}
[ -n "$now" ] || now=$(date +%s)
"""
_LINE = f"[ ! -f lock ] || head -c {_LINE_BYTES} lock 2>/dev/null"
# The clock is read after the lock: one taken in between would begin in the future, and so not hold.
_SAY = """echo "$boot $now"; printf '%s\\n' "$line\""""


@dataclass(frozen=True)
class _Seen:
    """What a look at the device's lock gave: the clock there, and the words of the lock's line."""

    boot: str
    now_s: int
    words: tuple[str, ...]

    @property
    def token(self) -> str:
        """The first word; "" without a lock, and no token where the file is damaged."""
        return self.words[0] if self.words else ""

    @property
    def lock(self) -> Lock | None:
        """The lock, if it holds: not expired, not of an earlier boot, not damaged."""
        if len(self.words) < 6 or self.words[1] != self.boot:
            return None
        since, until = self.words[2:4]
        if not (
            _SECONDS.fullmatch(since) and _SECONDS.fullmatch(until) and int(since) <= self.now_s < int(until)
        ):
            return None
        if is_dead(self.words[4]):
            return None
        owner = printable(" ".join(self.words[5:]))
        return Lock(owner, held_s=self.now_s - int(since), left_s=int(until) - self.now_s)


class LockFile:
    """The lock in `folder`, a `shell_word`; `ask` runs a script there, maybe twice, and returns what it wrote."""

    def __init__(self, device: str, folder: str, ask: Callable[[str], str]) -> None:
        self._device = device
        self._folder = folder
        self._ask = ask

    @contextmanager
    def hold(self, owner: str, for_s: float, wait_s: float) -> Iterator[None]:
        """Take the lock, for at most `for_s` seconds, within `wait_s` seconds, and give it back."""
        token = secrets.token_hex(8)
        self._take(token, owner, for_s, wait_s)
        try:
            yield
        finally:
            # Over a lost connection this cannot work: then it expires.
            with suppress(DeviceError):
                self._remove(token)

    def look(self) -> Lock | None:
        """Return the lock that holds now."""
        return self._look().lock

    def refuse_if_held(self) -> None:
        """Raise kind "busy" where the lock holds."""
        lock = self.look()
        if lock is not None:
            raise busy(self._device, lock)

    def force(self) -> Lock | None:
        """Remove whatever lock there is and return it if it held."""
        seen = self._look()
        self._ask(
            f"cd {self._folder} 2>/dev/null || exit 0\nrm -rf lock lock.*\n"
            f"cd / && rmdir {self._folder} 2>/dev/null\nexit 0"
        )
        return seen.lock

    def _take(self, token: str, owner: str, for_s: float, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        pause_s = _FIRST_PAUSE_S
        stale, stale_since = "", time.monotonic()
        # Tokens without end, each of a lock that does not hold, are no locks of fusekit's.
        never_held_since = stale_since
        while True:
            seen = self._try(token, owner, for_s)
            # Our own token is there when the connection was cut after the lock was taken.
            if seen is None or seen.token == token:
                return
            if seen.lock is None:
                if seen.token != stale:
                    stale, stale_since = seen.token, time.monotonic()
                if time.monotonic() - never_held_since > 6 * _STUCK_AFTER_S:
                    raise self._irremovable()
                self._remove_stale(stale, time.monotonic() - stale_since)
                continue
            stale, stale_since = "", time.monotonic()
            never_held_since = stale_since
            if time.monotonic() >= deadline:
                raise busy(self._device, seen.lock, wait_s)
            time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _remove_stale(self, token: str, in_the_way_s: float) -> None:
        """Have a lock that holds no more out of the way; others may be doing the same."""
        if in_the_way_s > 2 * _STUCK_AFTER_S:
            raise self._irremovable()
        self._remove(token, by_force=in_the_way_s > _STUCK_AFTER_S)

    def _irremovable(self) -> DeviceError:
        return DeviceError(
            "failed",
            f"the lock of {self._device} has ended but cannot be removed: type `fusekit devices unlock {self._device}`",
        )

    def _try(self, token: str, owner: str, for_s: float) -> _Seen | None:
        """Take the lock and return None, or what is in the way."""
        new = f"lock.{token}.new"
        answer = self._ask(
            f"""{make_and_enter(self._folder)}
if [ -d lock ]; then echo 'lock: Is a directory, which `fusekit devices unlock {self._device}` removes' >&2; exit 1; fi
{_CLOCK}until=$((now + {math.ceil(for_s)}))
printf '%s\\n' "{token} $boot $now $until {client_id()} "{quote(_one_line(owner))} > {new} || exit 1
why=$(ln {new} lock 2>&1)
case $?$why in
  0*) echo taken ;;
  *exists*) line=$({_LINE}); {_CLOCK}{_SAY} ;;
  *) echo "$why" >&2; false ;;
esac
code=$?; rm -f {new}; exit $code"""
        )
        return None if answer == "taken\n" else self._seen(answer)

    def _look(self) -> _Seen:
        return self._seen(
            self._ask(f"line=$(cd {self._folder} 2>/dev/null && {{ {_LINE}; }})\n{_CLOCK}{_SAY}\nexit 0")
        )

    def _remove(self, token: str, by_force: bool = False) -> None:
        """Remove the lock if it is still that of `token`, or still damaged if that is no token."""
        if _TOKEN.fullmatch(token):
            guard, still_it = f"lock.{token}", token
        else:
            guard, still_it = "lock.damaged", '""|*[!0-9a-f]*'
        self._ask(
            f"""cd {self._folder} 2>/dev/null || exit 0
{"rm -f " + guard if by_force else ""}
ln lock {guard} 2>/dev/null || exit 0
found=; [ ! -f {guard} ] || read -r found rest < {guard}
case $found in {still_it}) rm -f lock; esac
rm -f {guard}
exit 0"""
        )

    def _seen(self, answer: str) -> _Seen:
        first, _, line = answer.partition("\n")
        match first.split():
            case [boot, now] if _SECONDS.fullmatch(now):
                return _Seen(boot, int(now), tuple(line.partition("\n")[0].split()))
        raise DeviceError("failed", f"{self._device} does not say what time it is there, but {first!r}")


def busy(device: str, lock: Lock, waited_s: float = 0) -> DeviceError:
    """Say who holds a device's lock, since when, until when, and how it is freed; times are of this machine."""
    now = datetime.now().astimezone()
    since = now - timedelta(seconds=lock.held_s)
    until = now + timedelta(seconds=lock.left_s)
    waited = f" and stayed so for {waited_s:g} s" if waited_s else ""
    return DeviceError(
        "busy",
        f"{device} is in use by {lock.owner} since {since:%H:%M:%S}, until {until:%H:%M:%S} at the latest{waited}: wait, "
        f"or, if nothing of it is running any more, type `fusekit devices unlock {device}`",
    )


def _one_line(owner: str) -> str:
    return printable(owner)[:200]
