"""Each file with something wrong in it ends with a message or with rejected records, and loses no record."""

from collections import Counter

import pytest
from fault_files import Content
from file_faults import CONTENTS

from capacity_dagster.errors import SourceError

NAME = "bad.txt"


@pytest.mark.parametrize(
    "fault",
    [pytest.param(each, id=each.id, marks=pytest.mark.faults if each.is_large else ()) for each in CONTENTS],
)
def test_a_bad_file_is_refused_or_its_records_are_accounted_for(read, fault: Content) -> None:
    content = fault.make()
    if fault.refused is not None:
        with pytest.raises(SourceError) as raised:
            read(fault.kind, content, name=NAME, **fault.source)
        said = str(raised.value)
        assert said.startswith(f"{NAME}: ")
        assert fault.refused in said
        assert "expected" in said
        assert len(said) < 1000
        return
    found = read(fault.kind, content, name=NAME, **fault.source)
    assert Counter(each["reject_reason"] for each in found.rejected) == fault.rejected
    assert len(found.accepted) == fault.accepted
