"""Writes docs/faults.md from the tables of faults: `python tests/faults/write_page.py`, as `make docs` does.

What belongs here: the words of the page. What does not: faults (`file_faults`, `landing_faults`, `site_faults`).
"""

from pathlib import Path

from fault_files import Content
from file_faults import CONTENTS
from landing_faults import LANDINGS, LandingFault
from site_faults import SITES, SiteFault

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"

HEAD = """\
# What happens when something is wrong

Written by `make docs` from the tables in `tests/faults/`, whose tests show each line: `make faults` runs them all.

A file that cannot be used as a whole is refused with a message that names it; the build then publishes nothing, and
what was published stays. A record that cannot be understood is rejected with a reason, which stays the same between
versions, and kept with its text, its line and what it would have been worth: `report.data_trust_daily` counts received
= accepted + rejected + superseded. Nothing waits for ever, and memory is bounded: a line may have 32 MiB, and what must
be read at once (JSON, cells that name their columns, reports) 1 GiB.
"""


def page() -> str:
    """The page."""
    return "\n".join(
        [
            HEAD,
            "## In a file\n",
            "| what is wrong | source | what becomes of it |\n|---|---|---|",
            *(f"| {_cell(each.what)} | `{each.kind}` | {_of_file(each)} |" for each in CONTENTS),
            "\n## In the landing\n",
            "| what is wrong | what becomes of it |\n|---|---|",
            *(f"| {_cell(each.what)} | {_of_landing(each)} |" for each in LANDINGS),
            "\n## Around a site\n",
            "| what is wrong | what becomes of it |\n|---|---|",
            *(f"| {_cell(each.what)} | {_of_site(each)} |" for each in SITES),
            "",
        ]
    )


def _of_file(fault: Content) -> str:
    if fault.refused is not None:
        return f"the file is refused: “{_cell(fault.refused)}…”"
    rejected = ", ".join(f"{count} `{reason}`" for reason, count in sorted(fault.rejected.items()))
    if rejected:
        return f"rejected: {rejected}" + (f"; accepted: {fault.accepted}" if fault.accepted else "")
    return f"accepted: {fault.accepted}" if fault.accepted else "no records"


def _of_landing(fault: LandingFault) -> str:
    return "no matter" if fault.said is None else f"“{_cell(fault.said)}…”"


def _of_site(fault: SiteFault) -> str:
    numbers = "the numbers are the same" if fault.then == "same" else "what is new is published"
    if fault.killed_before:
        return f"what is published is whole; by the next build {numbers}"
    if fault.said:
        return f"“…{_cell(fault.said)}…”, and what is published stays; once it is mended, {numbers}"
    return f"the build goes on; {numbers}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
