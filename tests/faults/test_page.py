"""The page of faults is fresh, and no fault has the name of another."""

from collections import Counter

from file_faults import CONTENTS
from landing_faults import LANDINGS
from site_faults import SITES
from write_page import PAGE, page


def test_the_page_says_what_the_tables_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: run `make docs`"


def test_each_fault_has_a_name_of_its_own() -> None:
    names = Counter(each.id for each in (*CONTENTS, *LANDINGS, *SITES))
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 60
