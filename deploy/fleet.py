"""The Procfile's processes, and the environment in which they find their programs, packages and engines."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deploy.procfile import Process, parse_procfile

#: They leave the work to children, who drain by themselves when their master dies. Granian's takes SIGTERM in a handler
#: that waits for ever when another comes meanwhile, and the kernel sends one for each thread of a dying supervisor.
_MASTERS: Final = frozenset({"web"})
PROJECT: Final = Path(__file__).resolve().parent.parent


def processes(environment: Mapping[str, str]) -> list[Process]:
    """Every line of the Procfile once, with *environment* on top of ours."""
    return [
        Process(
            name=name,
            command=command,
            env=environment,
            when_orphaned=signal.SIGKILL if name in _MASTERS else signal.SIGTERM,
        )
        for name, command in commands().items()
    ]


def commands() -> dict[str, str]:
    """The Procfile's command of each role."""
    return parse_procfile((PROJECT / "Procfile").read_text())


def program_paths() -> dict[str, str]:
    """PATH and PYTHONPATH under which `granian`, `python` and our packages are found from any folder."""
    # Not resolved: a virtual environment's python is a link out of it.
    programs = str(Path(sys.executable).parent)
    return {
        "PATH": os.pathsep.join(filter(None, [programs, os.environ.get("PATH", "")])),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")])),
    }


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        _listen(host, port).close()
    except OSError:
        return False
    return True


def hold_port(host: str, preferred: int) -> socket.socket:
    """Keep *preferred* from others, or any free port if it is taken, until the socket is closed."""
    try:
        return _listen(host, preferred)
    except OSError:
        return _listen(host, 0)


def free_port(host: str, preferred: int = 0) -> int:
    """*preferred* if it is free, else any port that is free now."""
    with hold_port(host, preferred) as held:
        port: int = held.getsockname()[1]
        return port


def _listen(host: str, port: int) -> socket.socket:
    """Listening, not only bound: several sockets may be bound to one port that connections linger on."""
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        held.listen()
    except OSError:
        held.close()
        raise
    return held


def as_text(value: Any) -> str:
    """A setting's value as its environment variable holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    reveal = getattr(value, "get_secret_value", None)
    return str(value if reveal is None else reveal())
