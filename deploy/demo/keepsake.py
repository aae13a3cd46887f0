"""What ``ringpost dev`` remembers from one run to the next, in a file that only its user can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

FILE: Final = "demo.json"


@dataclass(slots=True)
class Keepsake:
    """The random secrets of one data folder, and its demo provider once there is one."""

    webhook_auth_token: str
    data_key: str
    provider_id: str = ""
    key_id: str = ""
    secret: str = ""
    endpoint_id: str = ""
    callback_secret: str = ""
    callback_url: str = ""

    @classmethod
    def load(cls, data_dir: Path) -> Keepsake:
        """The folder's, or a new one, which is kept at once: what the data key encrypts needs it again."""
        file = data_dir / FILE
        try:
            return cls(**json.loads(file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            fresh = cls(secrets.token_urlsafe(24), base64.b64encode(secrets.token_bytes(32)).decode())
            fresh.save(data_dir)
            return fresh

    def save(self, data_dir: Path) -> None:
        """Write the file."""
        data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        write_private(data_dir / FILE, json.dumps(asdict(self), indent=2))


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
