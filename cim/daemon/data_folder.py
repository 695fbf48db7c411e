"""What is where in a suite's data folder."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen


@frozen
class DataFolder:
    """The folder that `--data` of the suite names."""

    path: Path

    @property
    def database(self) -> Path:
        """The store."""
        return self.path / "cim.db"

    @property
    def secret(self) -> Path:
        """The file with the secret, of which all keys are made."""
        return self.path / "secret"

    @property
    def api_keys(self) -> Path:
        """The file with the API keys, unless `--api-key-file` names another one."""
        return self.path / "api-keys"

    @property
    def vapid_key(self) -> Path:
        """The key by which browsers' push services know the suite, unless `--vapid-key` names another one."""
        return self.path / "vapid-key.pem"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates that are shown where no option says which."""
        return self.path / "certificates"
