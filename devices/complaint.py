"""What a device's shell complained about, turned into one sentence with what to do."""

from __future__ import annotations

from .device import DeviceError
from .work_folder import NOT_OURS


def complaint_error(device: str, where: str, complaint: str, exit_code: int) -> DeviceError:
    """Explain a script that failed at `where`; `complaint` is what it wrote to stderr."""
    said = complaint.splitlines()[-1] if complaint else f"exit code {exit_code}"
    if "No space left" in complaint or "quota exceeded" in complaint:
        return DeviceError(
            "disk_full",
            f"the disk of {device} is full at {where}: free some space, or type `fusekit devices clean {device}`",
        )
    if NOT_OURS in complaint:
        return DeviceError(
            "failed",
            f"the work folder {where} of {device} {NOT_OURS}, who could replace what runs there: give another `workdir` "
            f"for {device} in the inventory",
        )
    if "Read-only file system" in complaint or "Permission denied" in complaint:
        return DeviceError(
            "read_only",
            f"{device} cannot write to {where} ({said}): give another `workdir` for {device} in the inventory",
        )
    return DeviceError("failed", f"{device} answers at {where}: {said}")
