"""A private Valkey (or Redis) on a unix socket."""

import re
import shutil
import signal
import socket
import subprocess
from typing import Final
from urllib.parse import quote

from deploy.engines.home import Home
from deploy.engines.identity import myself
from deploy.engines.ladder import EngineError, Found
from deploy.engines.process import Answer, Launch, await_ready, end, end_leftovers, spawn

STOP: Final = ((signal.SIGTERM, 10.0),)
ANSWER_LIMIT: Final = 1.0  # s
SOCKET_NAME: Final = "valkey.sock"
PID_FILE: Final = "valkey.pid"

SETTINGS: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "save": "",
    "pidfile": PID_FILE,
}


class Valkey:
    """One server in the data folder. Whoever starts it holds the folder's lock. Its data is disposable."""

    def __init__(self, home: Home, found: Found) -> None:
        self.source: Final = found.source
        self.version: Final = _version_of(found)
        self.where: Final = home.run / SOCKET_NAME
        self._home = home
        self._server = found.path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's pid while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def url(self) -> str:
        """Where redis-py finds it."""
        return f"unix://{quote(str(self.where))}?db=0"

    def start(self) -> None:
        """
        Start, and return when it answers.

        Raises:
            EngineError: It does not start; the text says why.
        """
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """The first half of ``start``."""
        if self.pid is not None:
            return
        self._home.valkey.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._home.make_run_folder()
        self._clear_leftovers()
        settings = SETTINGS | {"dir": str(self._home.valkey), "unixsocket": str(self.where)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        command = [str(self._server), *options]
        self._process = spawn(Launch(command, myself(), signal.SIGTERM, self._home.valkey_log))

    def await_ready(self) -> None:
        """The second half of ``start``."""
        if self._process is None:
            raise EngineError("Valkey was not started")
        await_ready("Valkey", self._process, self._answer, self._home.valkey_log)

    def stop(self) -> None:
        """End it cleanly: what it holds is on disk."""
        if self._process:
            end(self._process, STOP)

    def kill(self) -> None:
        """Kill -9. What it wrote is in the kernel's hands, so only a power cut would lose the last second."""
        if self._process:
            end(self._process, ())

    def wipe(self) -> None:
        """Kill it and delete all it knows."""
        self.kill()
        shutil.rmtree(self._home.valkey, ignore_errors=True)

    def _answer(self) -> Answer:
        """PING by hand: importing redis-py takes longer than Valkey's whole start."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_LIMIT)
            try:
                connection.connect(str(self.where))
                connection.sendall(b"PING\r\n")
                reply = connection.recv(64)
            except OSError:
                return Answer.SILENT
        if reply.startswith(b"+PONG"):
            return Answer.READY
        return Answer.BUSY if reply.startswith(b"-LOADING") else Answer.SILENT

    def _clear_leftovers(self) -> None:
        pid_file = self._home.valkey / PID_FILE
        if not pid_file.exists():
            return
        end_leftovers(self._home.valkey, self._server.name, signal.SIGTERM)
        pid_file.unlink(missing_ok=True)
        self.where.unlink(missing_ok=True)


def _version_of(found: Found) -> str:
    """The number in ``Valkey server v=9.1.2 sha=…`` or ``Redis server v=7.0.15 sha=…``."""
    try:
        asked = subprocess.run([found.path, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"{found.path} does not run here: {error}") from error
    match = re.search(r"v=(\S+)", asked.stdout)
    return match[1] if match else "unknown"
