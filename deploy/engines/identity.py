"""As whom PostgreSQL runs. It refuses to be root, so root hides behind another number or another user."""

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.engines.ladder import EngineError

CLONE_NEWUSER: Final = 0x10000000  # linux/sched.h
INNER_ID: Final = 1000  # what root is called inside the user namespace
UNPRIVILEGED_USERS: Final = ("postgres", "nobody")
PROBE_LIMIT: Final = 10.0  # s

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose files an engine owns, and what its process does between fork and exec to become that user."""

    uid: int
    gid: int
    in_namespace: bool = False

    def assume(self) -> None:
        """
        Become this identity. Runs in the child, and clears a death signal set before.

        Raises:
            OSError: The kernel or the container does not allow it.
        """
        if self.in_namespace:
            _enter_user_namespace(self.uid, self.gid)
        elif self.uid != os.geteuid():
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)


def myself() -> Identity:
    """The user this process runs as."""
    return Identity(os.geteuid(), os.getegid())


def for_postgres(program: Path, folder: Path) -> tuple[Identity, str]:
    """
    The first identity that can run *program* and enter *folder*, and what ``program --version`` prints.

    Raises:
        EngineError: PostgreSQL cannot run here as the present user.
    """
    reasons = []
    for identity in _candidates():
        try:
            return identity, probe(program, folder, identity)
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(str(error))
    if os.geteuid() == 0:
        raise EngineError(
            f"PostgreSQL does not run as root, and neither a user namespace nor the users "
            f"{', '.join(UNPRIVILEGED_USERS)} can reach {program} and {folder}: "
            f"run as a normal user or set DATABASE_URL"
        )
    raise EngineError(f"{program} does not run here: {'; '.join(reasons)}")


def probe(program: Path, folder: Path, identity: Identity) -> str:
    """
    What ``program --version`` prints when run as *identity* from inside *folder*.

    Raises:
        OSError, subprocess.SubprocessError: The identity, the program or the folder is out of reach.
    """

    def become() -> None:
        identity.assume()
        os.chdir(folder)

    done = subprocess.run(
        [program, "--version"],
        preexec_fn=become,  # what it calls is loaded before the fork
        capture_output=True,
        text=True,
        timeout=PROBE_LIMIT,
        check=True,
    )
    return done.stdout.strip()


def _candidates() -> Iterable[Identity]:
    if os.geteuid() != 0:
        yield myself()
        return
    if sys.platform == "linux":
        yield Identity(os.geteuid(), os.getegid(), in_namespace=True)
    for name in UNPRIVILEGED_USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        yield Identity(user.pw_uid, user.pw_gid)


def _enter_user_namespace(uid: int, gid: int) -> None:
    if _libc.unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) was refused")
    for name, text in (
        ("setgroups", "deny"),  # user_namespaces(7): must come before gid_map
        ("uid_map", f"{INNER_ID} {uid} 1"),
        ("gid_map", f"{INNER_ID} {gid} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text)
