"""Ends a process when the process that it works for dies, and gives DVC a private cache."""

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
_POLL = 0.5  # seconds between two checks whether DVC still runs
_SITE_CACHE = "DVC_SITE_CACHE_DIR"


def keep_dvcs_cache_private() -> None:
    """Let every DVC that this process starts keep its cache of pickled values where only this user can write.

    DVC's default below /var/tmp is open to all users. Who can write into the cache can run code as this user
    (CVE-2025-69872 of diskcache). A place that the user has chosen stays.
    """
    place = Path(".dvc/site-cache").absolute()
    if place.parent.is_dir() and os.environ.setdefault(_SITE_CACHE, str(place)) == str(place):
        with suppress(OSError):  # the project cannot be written: if DVC is started, it says so
            place.mkdir(exist_ok=True)
            place.chmod(0o700)  # DVC itself would make it open to all


def die_with(parent: int) -> None:
    """Let the kernel send this process SIGTERM when its parent dies, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent has died before
            os.kill(os.getpid(), signal.SIGTERM)


def die_with_dvc() -> None:
    """If DVC runs this process as a stage, send the process SIGTERM when DVC dies, even by SIGKILL.

    DVC is the first ancestor that is not in the stage. It may not be the parent: Debian's `sh` stays between the two.
    """
    if "DVC_STAGE" in os.environ:
        dvc = next((process for process in psutil.Process().parents() if not _is_in_stage(process)), None)
        if dvc is None or os.getsid(dvc.pid) != os.getsid(0):  # a stage has DVC's session, so DVC has died before
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            threading.Thread(target=_die_after, args=[dvc], daemon=True).start()


def _is_in_stage(process: psutil.Process) -> bool:
    try:
        return process.environ().get("DVC_STAGE") == os.environ["DVC_STAGE"]
    except psutil.Error:  # the process is another user's, or has ended
        return False


def _die_after(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_POLL)
    os.kill(os.getpid(), signal.SIGTERM)
