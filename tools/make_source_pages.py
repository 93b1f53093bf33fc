"""Write docs/sources.md: a section a source, from the descriptions by which files are read."""

from pathlib import Path

from aqreanalysis.observations.sources.pages import pages
from aqreanalysis.observations.sources.registry import sources

PAGE = Path(__file__).resolve().parents[1] / "docs" / "sources.md"
HEAD = """# Sources

Whose files are read as they are: how to get the file, the command, and what is odd. A file whose
columns are those of one source is recognised; the log and the `history` of the Dataset say so, and
what was assumed. `--source NAME` states it, any other option holds over the description, and
`--source long` reads the file as a plain table. For other files see [your own
file](own_file.md).

`aqreanalysis validate` reads a file and says what is in it; `reanalyse`, `fit`, `verify` and
`outlook` take the same options. In Python, `open_observations` has them as keywords, and
`aqreanalysis.sources` lists the descriptions.

A list of stations (`--stations`) may be a table of any source, such as EEA's `DataExtract.csv`: its
columns are recognised by their usual names, and identifiers are matched with the column that has
most of them. A station may be listed many times.

Any `pyaro.Reader` is a source too, with `pip install aqreanalysis[pyaro]`:
`open_observations(pyaro.open_timeseries("ebas", ...))`.

## A source of your own

A package adds sources by an entry point; nothing else is needed to read, recognise and list them:

```toml
[project.entry-points."aqreanalysis.sources"]
atlantis = "atlantis_data:SOURCE"
```

```python
from aqreanalysis.observations.sources.description import Source

SOURCE = Source(
    "atlantis",
    "a file of Atlantis",
    columns={"station": ("Buoy",), "time": ("When",), "pm25": ("Smoke",)},
    signature=("station", "time", "pm25"),
    time_zone="UTC-3",
    time_label="end",
    units={"pm25": "ug m-3"},
    missing=(-77.0,),
    has_positions=False,
)
```

`help(Source)` says what else a description can hold: tables with a column a station or an hour,
files without a line of names, what stands in the file's name or above the columns, what a valid
row is.

## The sources

"""


def page() -> str:
    """Return the page."""
    plain = ("long", "wide", "hours")
    return HEAD + pages(source for name, source in sources.items() if name not in plain)


if __name__ == "__main__":
    PAGE.write_text(page())
