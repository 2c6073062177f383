"""What a piece of work cost: wall time, processor time with that of its worker processes, memory, page cache."""

from __future__ import annotations

import os
import resource
from pathlib import Path


def cpu_s() -> float:
    """Processor seconds of this process, of its living descendants, and of those that it has waited for."""
    import psutil

    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(one.ru_utime + one.ru_stime for one in spent)
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class PeakMemory:
    """The most memory that this process had since this was made, pages of mapped files included."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the earlier peak
        self._began = _status("VmRSS")

    def grown_bytes(self) -> int:
        """The peak, over what there was at the beginning."""
        return _status("VmHWM") - self._began


def drop_page_cache(folder: Path) -> None:
    """Ask the kernel to forget the files below a folder. Needs no rights; pages that some process maps stay."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {field}")
