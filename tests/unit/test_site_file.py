"""A wrong site file gives one message that names the file, the key, what was found and what was expected."""

from pathlib import Path

import pytest

from capacity_dagster.errors import SiteFileError
from capacity_dagster.site_file import load_site, shipped_demo, site_path

GOOD = """
[site]
name = "somewhere"
first_day = 2026-01-01

[clusters.alpha]
time_zone = "Europe/Oslo"

[accelerators.h100]
aliases = ["nvidia_h100_80gb_hbm3"]

[[sources]]
kind = "slurm_jobs"
files = "*/jobs-*.psv"
"""


def message(tmp_path: Path, toml: str | bytes) -> str:
    """The message of the error that loading a site file raises."""
    file = tmp_path / "site.toml"
    file.write_bytes(toml.encode() if isinstance(toml, str) else toml)
    with pytest.raises(SiteFileError) as raised:
        load_site(file)
    text = str(raised.value)
    assert text.startswith(f"{file}: "), text
    return text.removeprefix(f"{file}: ")


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_a_good_site_file_is_read_and_what_it_leaves_out_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(GOOD, encoding="utf-8")
    site = load_site(tmp_path)
    assert site.content.site.reporting_time_zone == "UTC"
    assert site.content.clusters["alpha"].scheduler == "slurm"
    assert site.content.reconciliation.tolerance_seconds == 0
    assert site.content.reconciliation.tolerance_share == 0
    assert site.content.sources[0].cluster is None
    assert (site.content.site.keep_versions, site.content.site.keep_days) == (14, 14)
    assert (site.landing, site.work, site.published) == tuple(
        tmp_path / name for name in ("landing", "work", "published")
    )


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        pytest.param(
            changed('name = "somewhere"', 'nmae = "somewhere"\nname = "x"'),
            ["unknown key 'site.nmae'", "'first_day'", "'name'", "'reporting_time_zone'"],
            id="unknown key in a section",
        ),
        pytest.param(
            GOOD + "\n[acelerators.a100]\n",
            ["unknown key 'acelerators'", "'accelerators'", "'clusters'", "'sources'"],
            id="unknown section",
        ),
        pytest.param(
            changed('time_zone = "Europe/Oslo"', 'timezone = "Europe/Oslo"'),
            ["unknown key 'clusters.alpha.timezone'", "expected one of", "'time_zone'"],
            id="unknown key of a cluster",
        ),
        pytest.param(
            GOOD + 'pattern = "x"\n',
            ["unknown key 'sources[1].pattern'", "expected one of", "'collected_at'", "'files'"],
            id="unknown key of a source",
        ),
        pytest.param(
            GOOD + "[collect.slurm]\nday = 3\n",
            ["unknown key 'collect.slurm.day'", "expected one of", "'days'", "'timeout_seconds'"],
            id="unknown key of a collection",
        ),
        pytest.param(
            changed('name = "somewhere"', 'name = "somewhere"\nkeep_days = -1'),
            ["key 'site.keep_days' is -1", "greater than or equal to 0"],
            id="fewer days than none",
        ),
        pytest.param(changed('name = "somewhere"', ""), ["key 'site.name' is missing"], id="missing key"),
        pytest.param(
            changed('files = "*/jobs-*.psv"', ""), ["key 'sources[1].files' is missing"], id="missing key of a source"
        ),
        pytest.param("name = 'x'", ["key 'site' is missing", "key 'clusters' is missing"], id="missing sections"),
        pytest.param(
            changed("Europe/Oslo", "Europe/Olso"),
            ["key 'clusters.alpha.time_zone' is 'Europe/Olso'", "expected a time zone", "'Europe/Oslo'"],
            id="unknown zone",
        ),
        pytest.param(
            changed("Europe/Oslo", "America"),
            ["key 'clusters.alpha.time_zone' is 'America'", "expected a time zone"],
            id="a folder of zones",
        ),
        pytest.param(
            changed("Europe/Oslo", "../../etc/localtime"),
            ["key 'clusters.alpha.time_zone' is '../../etc/localtime'", "expected a time zone"],
            id="a zone that is a path",
        ),
        pytest.param(
            changed('"Europe/Oslo"', "1"),
            ["key 'clusters.alpha.time_zone' is 1", "string"],
            id="a zone that is not text",
        ),
        pytest.param(
            GOOD + 'cluster = "aplha"\n',
            ["sources[1] (slurm_jobs, */jobs-*.psv)", "cluster 'aplha' is not declared", "expected one of 'alpha'"],
            id="undeclared cluster",
        ),
        pytest.param(
            GOOD + 2 * '\n[[ended_accounts]]\nprovider = "P"\nbilling_account_id = "1"\nlast_day = 2026-09-30\n',
            ["ended_accounts[2]", "account '1' of 'P' is there already", "expected it once"],
            id="an account that ended twice",
        ),
        pytest.param(
            GOOD + 2 * '\n[[ended_sources]]\nkind = "slurm_queue"\ncluster = "alpha"\nlast_day = 2026-09-30\n',
            ["ended_sources[2]", "slurm_queue of 'alpha' is there already", "expected it once"],
            id="a source that ended twice",
        ),
        pytest.param(
            GOOD + '\n[[ended_sources]]\nkind = "slurm_queue"\ncluster = "gamma"\nlast_day = 2026-09-30\n',
            ["ended_sources[1]", "cluster 'gamma' is not declared", "expected one of"],
            id="a source that ended of an undeclared cluster",
        ),
        pytest.param(
            GOOD + '\n[accelerators.h200]\naliases = ["NVIDIA_H100_80GB_HBM3"]\n',
            ["accelerators: 'NVIDIA_H100_80GB_HBM3' names both 'h100' and 'h200'", "expected one model"],
            id="one alias of two models",
        ),
        pytest.param(
            GOOD + '\n[accelerators.h200]\naliases = ["H100"]\n',
            ["'H100' names both 'h100' and 'h200'"],
            id="an alias that is another model's name",
        ),
        pytest.param("[site\nname =", ["is not TOML", "line 1"], id="not TOML"),
        pytest.param(GOOD + "[site]\n", ["is not TOML"], id="a section twice"),
        pytest.param(b"[site]\nname = '\xff'\n", ["is not UTF-8 text (byte 15)", "expected TOML"], id="not UTF-8"),
        pytest.param(
            changed("*/jobs-*.psv", "../jobs.psv"),
            ["key 'sources[1].files' is '../jobs.psv'", "expected a path or pattern relative to the landing folder"],
            id="a path out of the landing",
        ),
        pytest.param(
            changed("*/jobs-*.psv", "/var/log/jobs.psv"),
            ["key 'sources[1].files' is '/var/log/jobs.psv'", "relative to the landing folder"],
            id="an absolute path",
        ),
        pytest.param(
            changed("*/jobs-*.psv", ""), ["key 'sources[1].files' is ''", "expected a path or pattern"], id="no pattern"
        ),
        pytest.param(
            changed("*/jobs-*.psv", "."),
            ["key 'sources[1].files' is '.'", "expected a path or pattern"],
            id="the landing itself",
        ),
        pytest.param(
            changed("*/jobs-*.psv", "jobs**.psv"),
            ["key 'sources[1].files' is 'jobs**.psv'", "'**' stands for whole folders"],
            id="a pattern that is none",
        ),
        pytest.param(
            changed('"slurm_jobs"', '"slurm_nodes"'),
            ["sources[1] (slurm_nodes, */jobs-*.psv)", "do not name their cluster", "expected a key 'cluster'"],
            id="nodes without a cluster",
        ),
        pytest.param(
            changed('"slurm_jobs"', '"slurm_job"'),
            ["key 'sources[1].kind' is 'slurm_job'", "'slurm_jobs'", "'inventory'"],
            id="unknown kind of source",
        ),
        pytest.param(
            changed("2026-01-01", '"soon"'), ["key 'site.first_day' is 'soon'", "date"], id="a day that is none"
        ),
        pytest.param(
            GOOD + "collected_at = '['\n",
            ["key 'sources[1].collected_at' is '['", "expected a regular expression"],
            id="broken expression",
        ),
        pytest.param(
            GOOD + "collected_at = '[0-9]+'\n",
            ["key 'sources[1].collected_at' is '[0-9]+'", "expected a named group (?P<at>"],
            id="an expression without the group",
        ),
        pytest.param(
            changed('[clusters.alpha]\ntime_zone = "Europe/Oslo"', "[clusters]"),
            ["key 'clusters' is {}", "at least 1"],
            id="no cluster",
        ),
        pytest.param(
            changed('time_zone = "Europe/Oslo"', 'domain = ".fox"'),
            ["key 'clusters.alpha.domain' is '.fox'", "such as 'fox' or 'example.org'"],
            id="a domain with its dot",
        ),
        pytest.param(
            changed('time_zone = "Europe/Oslo"', 'node_aliases = { a = "b", b = "c" }'),
            ["clusters.alpha.node_aliases: 'a' stands for 'b'", "expected the scheduler's name"],
            id="an alias of an alias",
        ),
        pytest.param(
            GOOD + "\n[resources]\nmemory_limit = 'much'\n",
            ["key 'resources.memory_limit' is 'much'", "GB"],
            id="a limit that is none",
        ),
        pytest.param(
            GOOD + "\n[reconciliation]\ntolerance_seconds = -1\n",
            ["key 'reconciliation.tolerance_seconds' is -1", "greater than or equal to 0"],
            id="a tolerance below nothing",
        ),
        pytest.param(
            GOOD + "\n[reconciliation]\ntolerance_share = 1.5\n",
            ["key 'reconciliation.tolerance_share' is 1.5", "less than or equal to 1"],
            id="a tolerance above everything",
        ),
        pytest.param(
            GOOD + '\n[costs]\ndepreciation = "annuity"\n',
            ["costs: depreciation is 'annuity'", "expected a key 'cost_of_capital'"],
            id="an annuity without a rate",
        ),
        pytest.param(
            GOOD + "\n[costs]\ncost_of_capital = 10\n",
            ["key 'costs.cost_of_capital' is 10", "less than 1"],
            id="a rate in percent",
        ),
    ],
)
def test_a_wrong_site_file_says_what_is_wrong(tmp_path: Path, toml: str | bytes, parts: list[str]) -> None:
    said = message(tmp_path, toml)
    for part in parts:
        assert part in said


def test_a_wrong_key_is_one_line(tmp_path: Path) -> None:
    assert message(tmp_path, changed("Europe/Oslo", "Europe/Olso")).count("\n") == 0


def test_every_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    toml = changed("Europe/Oslo", "Europe/Olso").replace("2026-01-01", '"soon"')
    said = message(tmp_path, toml)
    assert "clusters.alpha.time_zone" in said
    assert "site.first_day" in said


def test_a_missing_site_file_says_where_it_was_expected(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match="No such file") as raised:
        load_site(tmp_path / "elsewhere.toml")
    assert str(tmp_path / "elsewhere.toml") in str(raised.value)
    assert "expected a site file" in str(raised.value)


def test_a_folder_without_a_site_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SiteFileError, match=r"site\.toml: cannot be read"):
        load_site(tmp_path)


def test_the_site_is_the_one_named_else_the_variables_else_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPACITY_SITE", str(tmp_path))
    assert site_path(tmp_path / "named.toml") == tmp_path / "named.toml"
    assert site_path() == tmp_path / "site.toml"
    monkeypatch.delenv("CAPACITY_SITE")
    assert site_path() == shipped_demo() / "site.toml"


def test_the_shipped_demo_has_a_good_site_file() -> None:
    assert set(load_site(shipped_demo()).content.clusters) == {"alpha", "beta"}
