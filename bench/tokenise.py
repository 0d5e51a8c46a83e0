"""The floor: splits the delivered job records at their delimiter and nothing else.

`python bench/tokenise.py SITE_FOLDER`.

Every column's lengths are summed, so that no column can be skipped. Prints one line of JSON.
"""

import argparse
import json
from pathlib import Path

import duckdb


def tokenise(site: Path, memory_limit: str, threads: int) -> dict[str, int]:
    """Rows and bytes of the columns of all job records of a generated site."""
    files = sorted((site / "landing").glob("slurm/*/jobs-*"))
    with files[0].open(encoding="utf-8") as file:
        names = file.readline().rstrip("\n").split("|")
    # A job's name comes last and may hold the delimiter once.
    columns = {name: "VARCHAR" for name in (*names, "surplus")}
    lengths = " + ".join(f'sum(coalesce(strlen("{name}"), 0))' for name in columns)
    with duckdb.connect(":memory:", config={"memory_limit": memory_limit, "threads": threads}) as connection:
        rows, size = connection.execute(
            f"select count(*), {lengths} from read_csv($files, columns = {columns}, delim = '|', quote = '', "
            "escape = '', header = true, auto_detect = false, null_padding = true, new_line = '\\n', "
            "strict_mode = false)",
            {"files": [str(file) for file in files]},
        ).fetchall()[0]
    return {"rows": rows, "bytes": int(size)}


def main() -> None:
    """Tokenises the site that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder of a generated site")
    parser.add_argument("--memory-limit", default="8GB")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    print(json.dumps(tokenise(given.site, given.memory_limit, given.threads)))


if __name__ == "__main__":
    main()
