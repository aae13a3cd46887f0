"""``.env.example`` shows every setting as it is."""

from __future__ import annotations

import base64
import re

from deploy import env_example
from shared.settings import Settings

REQUIRED = {
    "eight_x_eight_api_key": "key",
    "eight_x_eight_subaccount_id": "acme_voice",
    "outbound_phone_number": "+6531580001",
    "webhook_auth_token": "test-webhook-token",
    "ringpost_data_key": base64.b64encode(bytes(range(32))).decode(),
}


def test_the_example_file_is_what_the_settings_say():
    assert env_example.PATH.read_text() == env_example.render(), "run: python -m deploy.env_example"


def test_every_setting_has_a_description_and_a_line():
    rendered = env_example.render()

    for name, field in Settings.model_fields.items():
        assert field.description
        assert re.search(rf"(?m)^#?{name.upper()}=", rendered)


def test_uncommenting_every_default_changes_no_setting(tmp_path, monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    lines = re.findall(r"(?m)^#([A-Z0-9_]+=.+)$", env_example.render())
    written = tmp_path / "env"
    written.write_text("\n".join(lines))

    from_file = Settings.load(_env_file=written, **REQUIRED)

    assert from_file == Settings.load(_env_file=None, **REQUIRED)
