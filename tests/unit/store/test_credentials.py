"""The keys of a bucket: from a file or from the environment, and from nowhere else."""

from pathlib import Path

import pytest

from pfilter.base.errors import StoreError
from pfilter.store import credentials


@pytest.mark.parametrize(
    "text",
    [
        'access_key_id = "K"\nsecret_access_key = "S"\n',
        "[default]\naws_access_key_id=K\naws_secret_access_key=S\n# comment\n",
        "aws_access_key_id = K\r\naws_secret_access_key = S\r\nregion = x\r\n",
    ],
)
def test_credentials_from_a_file(tmp_path: Path, text: str) -> None:
    """TOML and the form that AWS's own tools have."""
    (tmp_path / "keys").write_text(text)
    assert credentials.read(str(tmp_path / "keys")) == credentials.Credentials("K", "S", "")


def test_credentials_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the environment is asked; without that, it is an error and nobody else is asked."""
    for name in credentials.NAMES:
        monkeypatch.delenv(f"AWS_{name.upper()}", raising=False)
    with pytest.raises(StoreError, match="no AWS_ACCESS_KEY_ID"):
        credentials.read("")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "K")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "S")
    assert credentials.read("") == credentials.Credentials("K", "S", "")
    assert "S" not in repr(credentials.read("")).replace("Credentials", "")


def test_two_profiles_are_ambiguous(tmp_path: Path) -> None:
    """Of two keys in one file nobody knows which is meant."""
    (tmp_path / "keys").write_text("[a]\naws_access_key_id=K\n[b]\naws_access_key_id=L\n")
    with pytest.raises(StoreError, match="twice"):
        credentials.read(str(tmp_path / "keys"))
