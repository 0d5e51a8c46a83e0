"""The warehouse: one writer at a time, and nothing left behind by one that died."""

import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from capacity_dagster.locks import reading
from capacity_dagster.site_file import Site, load_site
from capacity_dagster.warehouse import Warehouse


def hold(site_file: str, holding: Any, release: Any) -> None:
    with Warehouse(load_site(site_file)).write("build 1234abcd"):
        holding.set()
        release.wait(60)


@pytest.fixture
def holder(demo_site: Site) -> Any:
    context = multiprocessing.get_context("spawn")
    holding, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(str(demo_site.path), holding, release), daemon=True)
    process.start()
    assert holding.wait(60)
    yield process, release
    if process.is_alive():
        release.set()
        process.join(30)


def test_a_second_build_waits_and_says_for_whom(demo_site: Site, holder: Any, caplog: pytest.LogCaptureFixture) -> None:
    process, release = holder
    context = multiprocessing.get_context("spawn")
    waiter = context.Process(target=release_later, args=(release,), daemon=True)
    with caplog.at_level(logging.WARNING, logger="capacity_dagster"):
        waiter.start()
        with Warehouse(demo_site).write("build 5678"):
            pass
    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert told[0].startswith(f"waiting for build 1234abcd (process {process.pid}, writing since 20")


def release_later(release: Any) -> None:
    time.sleep(0.5)
    release.set()


def test_a_killed_writer_leaves_no_lock(demo_site: Site, holder: Any) -> None:
    process, _ = holder
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    with Warehouse(demo_site).write("build after the kill") as warehouse:
        assert warehouse.value("select 1") == 1


def test_a_failure_closes_the_databases(demo_site: Site) -> None:
    with pytest.raises(ZeroDivisionError), Warehouse(demo_site).write("build that fails"):
        raise ZeroDivisionError
    with Warehouse(demo_site).write("build after it") as warehouse:
        assert warehouse.value("select count(*) from duckdb_databases() where not internal") == 4


def test_a_transaction_is_all_or_nothing(demo_site: Site) -> None:
    with Warehouse(demo_site).write("a test") as warehouse:
        warehouse.connection.execute("create table pipeline.core.kept (number integer)")
        insert = "insert into pipeline.core.kept values (1)"
        with pytest.raises(duckdb.Error), warehouse.transaction() as connection:
            connection.execute(insert).execute("insert into pipeline.core.absent values (1)")
        assert warehouse.rows("select * from pipeline.core.kept") == []


def test_databases_are_named_paths_with_quotes(tmp_path: Path, demo_site: Site) -> None:
    folder = tmp_path / "it's here"
    demo_site.folder.rename(folder)
    with Warehouse(load_site(folder)).write("a test") as warehouse:
        assert warehouse.value("select 1") == 1


def test_a_reader_says_who_writes_and_does_not_wait(demo_site: Site, holder: Any) -> None:
    process, _ = holder
    with reading(demo_site, "a reader") as writer:
        assert writer is not None
        assert writer.startswith(f"build 1234abcd (process {process.pid}, writing since 20")


def test_a_build_waits_for_readers_and_says_so(demo_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    demo_site.work.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    holding, release = context.Event(), context.Event()
    readers = [context.Process(target=read, args=(str(demo_site.path), holding, release), daemon=True)]
    readers[0].start()
    assert holding.wait(60)
    with reading(demo_site, "another reader") as writer:
        assert writer is None
    waiter = context.Process(target=release_later, args=(release,), daemon=True)
    with caplog.at_level(logging.WARNING, logger="capacity_dagster"):
        waiter.start()
        with Warehouse(demo_site).write("build 5678"):
            pass
    assert [record.message.partition(" (")[0] for record in caplog.records] == ["waiting for another reader"]


def read(site_file: str, holding: Any, release: Any) -> None:
    with reading(load_site(site_file), "a reader"):
        holding.set()
        release.wait(60)


def test_what_was_never_built_is_not_made_by_reading(demo_site: Site) -> None:
    with reading(demo_site, "a reader") as writer:
        assert writer == "nothing was built"
    assert not demo_site.work.exists()
