"""End a process when the process that it works for dies, and give those that it starts a cache of their own."""

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_POLL = 0.5  # seconds between two looks at DVC
_SITE_CACHE = "DVC_SITE_CACHE_DIR"


def keep_dvcs_cache_private() -> None:
    """Let every DVC that is started from here keep its cache of pickled values where only this user can write.

    DVC's own place for it, below /var/tmp, is open to all users, and who writes there has code run
    (CVE-2025-69872 of diskcache). A place that the user has chosen stays.
    """
    place = Path(".dvc/site-cache").absolute()
    if place.parent.is_dir() and os.environ.setdefault(_SITE_CACHE, str(place)) == str(place):
        with suppress(OSError):  # a project that cannot be written: DVC will say so, if it is started at all
            place.mkdir(exist_ok=True)
            place.chmod(0o700)  # DVC itself makes it open to all


def die_with(parent: int) -> None:
    """Let the kernel send this process SIGTERM when its parent dies, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has already died
            os.kill(os.getpid(), signal.SIGTERM)


def die_with_dvc() -> None:
    """If DVC runs this process as a stage, send it SIGTERM when DVC dies, even by SIGKILL.

    DVC may not be the parent: Debian's `sh` stays between the two.
    """
    if "DVC_STAGE" in os.environ:
        dvc = next((process for process in psutil.Process().parents() if not _is_in_stage(process)), None)
        if dvc is None or os.getsid(dvc.pid) != os.getsid(0):  # DVC has already died: a stage has DVC's session
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            threading.Thread(target=_die_after, args=[dvc], daemon=True).start()


def _is_in_stage(process: psutil.Process) -> bool:
    try:
        return process.environ().get("DVC_STAGE") == os.environ["DVC_STAGE"]
    except psutil.Error:  # another user's, or just ended
        return False


def _die_after(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL)
    os.kill(os.getpid(), signal.SIGTERM)
