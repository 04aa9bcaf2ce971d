"""Settings: where a value comes from, and that a wrong file lists all its problems at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, SecretStr

from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Settings, SettingsError, load_settings
from service_runtime.toml_lines import key_lines


class Camera(Settings):
    folder: Path
    fps: float = Field(default=1.0, gt=0, le=60)


class Program(Settings):
    broker: BrokerSettings
    camera: Camera
    names: tuple[str, ...] = ()


GOOD = """
names = ["a"]

[broker]
username = "edge-1"
password = "not-shown"

[camera]
folder = "fields"
"""


def load(
    tmp_path: Path, text: str, environ: dict[str, str] | None = None, **overrides: object
) -> Program:
    file = tmp_path / "edge.toml"
    file.write_text(text, encoding="utf-8")
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_settings(Program, file, environ=environ or {}, overrides=dotted)


def problems(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, environ)
    return [str(problem).replace(str(tmp_path) + "/", "") for problem in caught.value.problems]


def test_a_file_gives_values_and_the_model_the_rest(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert settings.camera == Camera(folder=Path("fields"), fps=1.0)
    assert settings.broker.root == "hemowire/v1"
    assert settings.broker.read_password() == "not-shown"


def test_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    environ = {
        "HEMOWIRE_CAMERA__FPS": "5",
        "HEMOWIRE_BROKER__HOST": "hospital",
        "HEMOWIRE_NAMES": '["b", "c"]',
        "HEMOWIRE_REAL_DATA": "/somewhere",  # another program's: no key of this model
    }
    settings = load(tmp_path, GOOD, environ, camera__fps=7, broker__host=None)
    assert settings.camera.fps == 7
    assert settings.broker.host == "hospital"
    assert settings.names == ("b", "c")


def test_all_problems_are_listed_with_file_line_key_and_what_is_allowed(tmp_path: Path) -> None:
    text = """\
names = 5
colour = "red"

[broker]
port = 99999
usernam = "edge-1"

[camera]
fps = 0
"""
    environ = {"HEMOWIRE_BROKER__ROOT": "a/b/c/d"}
    assert problems(tmp_path, text, environ) == [
        "edge.toml:5: broker.port: should be less than or equal to 65535, not 99999",
        "edge.toml:4: broker.username: must be given",
        "environment HEMOWIRE_BROKER__ROOT: broker.root: String should match pattern "
        "'^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,2}$', not 'a/b/c/d'",
        "edge.toml:6: broker.usernam: unknown key; allowed here: ca_file, cert_file, host, "
        "key_file, password, password_file, port, root, username; did you mean username?",
        "edge.toml:8: camera.folder: must be given",
        "edge.toml:9: camera.fps: should be greater than 0, not 0",
        "edge.toml:1: names: should be a valid tuple, not 5",
        "edge.toml:2: colour: unknown key; allowed here: broker, camera, names",
    ]


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path, 'names = ["x"]') == [
        "edge.toml: broker: must be given",
        "edge.toml: camera: must be given",
    ]


def test_a_file_that_is_absent_or_not_toml_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(Program, tmp_path / "absent.toml", environ={})
    [problem] = problems(tmp_path, "a = = 1")
    assert problem.startswith("edge.toml: not valid TOML: ")
    assert "line 1" in problem


def test_a_wrong_password_is_not_printed(tmp_path: Path) -> None:
    text = GOOD.replace('password = "not-shown"', "password = 12345678")
    [problem] = problems(tmp_path, text)
    assert "12345678" not in problem
    assert "password" in problem


@pytest.mark.parametrize("key", ["names", "camera.fps"])
def test_a_password_in_a_url_is_not_printed(tmp_path: Path, key: str) -> None:
    environ = {f"HEMOWIRE_{key.upper().replace('.', '__')}": "postgres://u:secretpw@h/db"}
    [problem] = problems(tmp_path, GOOD.replace('names = ["a"]', ""), environ)
    assert "secretpw" not in problem
    assert "postgres://***@h/db" in problem


class Folder(Settings):
    kind: Literal["folder"]
    folder: Path
    lens: Camera | None = None


class Simulated(Settings):
    kind: Literal["simulated", "drawn"]
    seed: int = 0


class Tagged(Settings):
    camera: Annotated[Folder | Simulated, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[camera]\nkind = "folder"\nfolder = "x"\nfoldr = 1',
            "edge.toml:4: camera.foldr: unknown key; allowed here: folder, kind, lens; "
            "did you mean folder?",
        ),
        (
            '[camera]\nkind = "drawn"\n\nsead = 1',
            "edge.toml:4: camera.sead: unknown key; allowed here: kind, seed; did you mean seed?",
        ),
        (
            '[camera]\nkind = "folder"\nfolder = "x"\n[camera.lens]\nfolder = "y"\nfbs = 1',
            "edge.toml:6: camera.lens.fbs: unknown key; allowed here: folder, fps; "
            "did you mean fps?",
        ),
        (
            '[camera]\nkind = "simulated"\nseed = "s"',
            "edge.toml:3: camera.seed: should be a valid integer, unable to parse string as an "
            "integer, not 's'",
        ),
        ('[camera]\nkind = "folder"', "edge.toml:1: camera.folder: must be given"),
    ],
)
def test_a_problem_below_a_choice_names_the_key_as_it_was_written(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(Tagged, file, environ={})
    [problem] = caught.value.problems
    assert str(problem).removeprefix(f"{tmp_path}/") == said


def test_password_or_password_file_not_both() -> None:
    with pytest.raises(ValueError, match="not both"):
        BrokerSettings(username="x", password=SecretStr("p"), password_file=Path("p"))


def test_the_password_file_gives_its_first_line_or_says_why_not(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("first \nsecond\n")
    assert BrokerSettings(username="x", password_file=file).read_password() == "first"
    file.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        BrokerSettings(username="x", password_file=file).read_password()


def test_a_ca_file_that_is_no_certificate_is_a_settings_problem(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nonsense")
    with pytest.raises(SettingsError, match="ca_file"):
        BrokerSettings(username="x", ca_file=file).tls_context()


def test_lines_of_keys_survive_comments_quotes_and_long_strings() -> None:
    text = '''\
# comment = 1
a.b = 1
"odd key" = """
not_a_key = 2
"""
[t.u]  # note
c = 3
[[list]]
d = 4
[[list]]
d = 5
'''
    lines = key_lines(text)
    assert lines["a", "b"] == 2
    assert lines[("odd key",)] == 3
    assert lines["t", "u"] == 6
    assert lines["t", "u", "c"] == 7
    assert lines["list", "0", "d"] == 9
    assert lines["list", "1", "d"] == 11
    assert ("comment",) not in lines
    assert ("not_a_key",) not in lines
