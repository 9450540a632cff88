"""Files that settings name: each that cannot be read is an error that says why."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from connector.configuration import load_settings
from connector.settings import (
    RunSettings,
    Settings,
)
from tests.unit.settings.given import NEEDED, found_problems, set_variables, yaml_file

_NO_FILE = "is a pipe, a device or a socket, not a file"


def test_file_that_is_missing_or_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """No stack trace either way."""
    assert any("no such file" in problem for problem in found_problems(config=tmp_path / "nowhere.yaml"))
    assert found_problems(config=tmp_path) == [f"--config {tmp_path}: is a folder, not a file"]
    assert found_problems(config=Path("/dev/null")) == [f"--config /dev/null: {_NO_FILE}"]
    assert any(
        "--config /proc/self/mem: cannot be read" in problem
        for problem in found_problems(config=Path("/proc/self/mem"))
    )


def test_files_that_settings_name_and_cannot_be_read_are_all_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the settings that name them; a token's file is nothing to a command that does not speak to X."""
    monkeypatch.setenv("CONNECTOR_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("CONNECTOR_KAFKA__SASL__USERNAME", "u")
    missing = [
        "CONNECTOR_KAFKA__SASL__PASSWORD_FILE",
        "CONNECTOR_KAFKA__TLS__CA_FILE",
        "CONNECTOR_SCHEMA_REGISTRY__CA_FILE",
        "CONNECTOR_X__BEARER_TOKEN_FILE",
        "CONNECTOR_X__CA_FILE",
    ]
    given = dict.fromkeys(missing, str(tmp_path / "nowhere"))
    set_variables(monkeypatch, given, {"CONNECTOR_KAFKA__TLS__KEY_PASSWORD_FILE": str(tmp_path)})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    expected = [f"{name}: {tmp_path / 'nowhere'}: no such file" for name in missing]
    folder = f"CONNECTOR_KAFKA__TLS__KEY_PASSWORD_FILE: {tmp_path}: is a folder, not a file"
    assert sorted(found_problems()) == sorted([*expected, folder])
    assert sorted(found_problems(Settings)) == sorted([*expected[:3], folder])


@pytest.mark.timeout(30)
def test_invalid_files_that_settings_name_are_all_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An idle pipe would be waited for, and a device could be read without end."""
    pipe, device, descriptor = tmp_path / "pipe", "/dev/zero", os.pipe()
    os.mkfifo(pipe)
    monkeypatch.setenv("CONNECTOR_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("CONNECTOR_KAFKA__SASL__USERNAME", "u")
    given = {
        "CONNECTOR_KAFKA__SASL__PASSWORD_FILE": device,
        "CONNECTOR_KAFKA__TLS__CA_FILE": str(pipe),
        "CONNECTOR_SCHEMA_REGISTRY__CA_FILE": str(pipe),
        "CONNECTOR_X__BEARER_TOKEN_FILE": f"/dev/fd/{descriptor[0]}",
        "CONNECTOR_X__CA_FILE": str(pipe),
        "SSL_CERT_FILE": str(pipe),
    }
    set_variables(monkeypatch, given)
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    assert sorted(found_problems()) == sorted(f"{name}: {path}: {_NO_FILE}" for name, path in given.items())
    assert found_problems(config=pipe)[-1] == f"--config {pipe}: {_NO_FILE}"
    for end in descriptor:
        os.close(end)


def test_secret_that_is_given_in_place_of_its_file_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is one word longer than the other."""
    set_variables(monkeypatch, {"CONNECTOR_X__BEARER_TOKEN_FILE": "AAAAhush/hush%2Bhush"})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    [problem] = found_problems()
    assert problem.startswith(
        "CONNECTOR_X__BEARER_TOKEN_FILE: the value given, which does not begin with / or .: no such"
    )


_AS_ANOTHER_USER = """
import os
from contextlib import suppress
from connector.configuration import load_settings
from connector.errors import SettingsError
from connector.settings import RunSettings, XSettings
with suppress(SettingsError):
    load_settings(RunSettings)  # imports all that the other user may not be able to read
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65532), os.setuid(65532)
try:
    XSettings(bearer_token_file=os.environ["CONNECTOR_X__BEARER_TOKEN_FILE"]).secret("bearer_token")
except SettingsError as error:
    print(error)
try:
    load_settings(RunSettings)
except SettingsError as error:
    print(error)
    raise SystemExit(error.exit_code)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may enter."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize("is_folder_closed", [False, True])
def test_file_without_the_permission_to_read_it_is_said_with_user_owner_and_mode(
    open_folder: Path, *, is_folder_closed: bool
) -> None:
    """Compose mounts the file as it is on the host, where it is root's: a process as in the image cannot read it."""
    folder = open_folder / "secrets"
    folder.mkdir(mode=0o700)
    token = folder / "token"
    token.write_text("hush-token\n")
    token.chmod(0o400 if os.getuid() == 0 else 0)
    folder.chmod(0o755 if not is_folder_closed else 0o700 if os.getuid() == 0 else 0)
    given = {name: value for name, value in NEEDED.items() if not name.endswith("TOKEN")}
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-c", _AS_ANOTHER_USER],
        env=os.environ | given | {"CONNECTOR_X__BEARER_TOKEN_FILE": str(token)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder.chmod(0o755)
    user, group = (65532, 65532) if os.getuid() == 0 else (os.getuid(), os.getgid())
    why = (
        ", which may not enter a folder on the way: give it the execute permission (chmod o+x)"
        if is_folder_closed
        else f", and the file belongs to user {os.getuid()} and group {os.getgid()} with mode "
        f"{token.stat().st_mode & 0o777:04o}: make it the process's own (chown {user}, chmod 400)"
    )
    why = f"this process runs as user {user} and group {group}{why}"
    assert done.returncode == 78
    assert f"CONNECTOR_X__BEARER_TOKEN_FILE: {token}: cannot be read: {why}" in done.stdout
    assert f"bearer_token_file: cannot be read: {token}: {why}" in done.stdout


def test_file_that_settings_name_may_be_a_link_to_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Kubernetes mounts secrets: the file in a folder that is a link, and a link to that."""
    (tmp_path / "..now").mkdir()
    (tmp_path / "..now" / "token").write_text("hush-token\n")
    (tmp_path / "..data").symlink_to("..now")
    (tmp_path / "token").symlink_to("..data/token")
    set_variables(monkeypatch, {"CONNECTOR_X__BEARER_TOKEN_FILE": str(tmp_path / "token")})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    assert load_settings(RunSettings).x.secret("bearer_token") == "hush-token"


def test_file_whose_name_cannot_be_one_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable can hold such a name, but a file of settings can."""
    set_variables(monkeypatch)
    file = yaml_file(tmp_path, 'x: {ca_file: "/a\\0b"}\n')
    assert found_problems(config=file) == [f"{file}: x.ca_file: /a\0b: cannot be read"]


def test_files_that_settings_name_and_can_be_read_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CA certificates may be in a folder."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("CONNECTOR_KAFKA__SECURITY_PROTOCOL", "SSL")
    set_variables(
        monkeypatch, {"CONNECTOR_X__BEARER_TOKEN_FILE": str(file), "CONNECTOR_KAFKA__TLS__CA_FILE": str(tmp_path)}
    )
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    load_settings(RunSettings)
