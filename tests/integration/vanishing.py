"""Processes that are not our children, and whose end nobody tells us."""

import time

import psutil

PATIENCE = 20  # s


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_vanish(pids):
    """Nobody tells us about processes that are not our children, so look often."""
    deadline = time.monotonic() + PATIENCE
    while not all(map(is_gone, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
