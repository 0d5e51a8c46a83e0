"""The examples in `deploy/`: they can be read, name commands that exist, and Dagster takes its settings."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from capacity_dagster.alerts import SUBJECTS
from capacity_dagster.cli import main

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
POSTGRES = "CAPACITY_TEST_POSTGRES_URL"


def unit(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd tells cases apart
    parser.read_string(file.read_text(encoding="utf-8"))
    return parser


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_units_name_commands_that_exist(file: Path) -> None:
    parsed = unit(file)
    if file.suffix == ".timer":
        assert file.with_suffix(".service") in UNITS
        assert parsed["Timer"]["OnCalendar"]
        return
    command, *arguments = parsed["Service"]["ExecStart"].split()
    assert command.startswith("/opt/capacity/venv/bin/")
    program = Path(sys.executable).with_name(Path(command).name)
    assert program.exists(), command
    if program.name == "capacity":
        known = main.commands[arguments[0]]
        options = {option for parameter in known.params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options
    else:
        told = subprocess.run(
            [program, *[argument for argument in arguments if argument == "run"], "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        for option in (argument for argument in arguments if argument.startswith("--")):
            assert option in told.stdout


def test_what_is_documented_is_what_there_is() -> None:
    text = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    for name in re.findall(r"deploy/[\w./*-]*\w", text):
        assert list(ROOT.glob(f"{name}*")), name
    version = next(iter(re.findall(r"dagster-postgres==([0-9.]+)", text)))
    assert version == re.findall(r"dagster-duckdb==([0-9.]+)", (ROOT / "pyproject.toml").read_text())[0]
    for file in (DEPLOY / "dagster.yaml", DEPLOY / "Containerfile"):
        assert f"dagster-postgres=={version}" in file.read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert copied
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name


def test_the_container_sees_the_site_where_the_host_has_it() -> None:
    text = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    (site,) = re.findall(r"^CAPACITY_SITE=(\S+)$", text, re.MULTILINE)
    container = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    (folder,) = re.findall(r"^VOLUME (\S+)$", container, re.MULTILINE)
    assert f"ENV CAPACITY_SITE={site}\n" in container
    assert f"--volume {folder}:{folder}:z" in text
    assert site.startswith(f"{folder}/")


def test_each_alert_has_its_section_in_the_runbook() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for kind in SUBJECTS:
        assert runbook.count(f'<a id="alert-{kind.replace("_", "-")}"></a>') == 1
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", runbook, re.MULTILINE)
    }
    for anchor in re.findall(r"\]\(#([\w-]+)\)", runbook):
        assert anchor in headings


LOADED = """
import dagster as dg
with dg.DagsterInstance.get() as instance:
    print(instance.get_run_records(limit=1), instance.telemetry_enabled, instance.nux_enabled)
"""


def loaded(home: Path, settings: str) -> str:
    home.mkdir()
    (home / "dagster.yaml").write_text(settings, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-c", LOADED],
        env={**os.environ, "DAGSTER_HOME": str(home), "DAGSTER_POSTGRES_URL": os.environ.get(POSTGRES, "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_dagster_takes_its_settings_but_for_postgres(tmp_path: Path) -> None:
    settings = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings.pop("storage") == {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    assert loaded(tmp_path / "home", yaml.safe_dump(settings)) == "[] False False\n"


@pytest.mark.skipif(POSTGRES not in os.environ, reason=f"{POSTGRES} names no empty database")
def test_dagster_takes_its_settings_with_postgres(tmp_path: Path) -> None:
    settings = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    assert loaded(tmp_path / "home", settings).endswith("] False False\n")
