"""What happens to files: mutations of bytes and cells, and files made to do harm."""

import csv
import io
import json
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.fuzz_files import Source

Random = np.random.Generator

#: What a mutation does to the values: none, some may be gone, or anything may have happened.
SAME, FEWER, ANY = "same", "fewer", "any"

Mutation = Callable[[bytes, Random, Source], bytes | None]


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8").splitlines()


def _joined(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _cells(content: bytes, source: Source) -> list[list[str]]:
    return list(csv.reader(_lines(content), delimiter=source.separator))


def _written(rows: list[list[str]], source: Source, separator: str | None = None) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator or source.separator, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _in_cell(words: list[str], *columns: str) -> Mutation:
    """Put a word into cells of columns whose name holds one of some words; all columns without."""

    def mutate(content: bytes, rng: Random, source: Source) -> bytes | None:
        rows = _cells(content, source)
        at = [i for i, n in enumerate(rows[0]) if any(c in n.lower() for c in columns)]
        if len(rows) < 2 or not at:
            return None
        word, column = str(rng.choice(words)), int(rng.choice(at))
        whole = rng.random() < 0.2
        for row in rows[1:] if whole else [rows[int(rng.integers(1, len(rows)))]]:
            row[column] = word
        return _written(rows, source)

    return mutate


_NO_NUMBERS = [
    "-999", "-9999", "NA", "<LOD", "<0.5", "1,234.5", "1e308", "1e999", "-1e308", "1e39", "true",
    "True", "0x10", "inf", "-inf", "nan", "12*", "5 ug", "½", "１２", "1_000", "--", "''", "1e",
    "0b1", "=1+1", "1 2", "9.96921e36", "x" * 5000, "9" * 400,
]  # fmt: skip
_NO_STAMPS = [
    "1800-01-01T00:00Z", "2099-01-01T00:00Z", "1900-01-01T00:00Z", "2020", "2020-11", "now",
    "today", "2020-11T04:00:00Z", "01/02/2020 03:00", "2020-11-01T00:00 UTC+25",
    "2020-11-01T00:00:00,5Z",
    "1604188800", "2020-13-01T00:00Z", "2020-11-01T25:00Z", "2020-11-31T00:00Z", "20201101",
    "2020-11-01T00:00:00.001Z", "Nov 2020", "1 Nov", "1:001:001:001", "1:00" * 9000, "0000-00-00",
    "2020-W45-1", "2020-306", "12:00", "1st", "2020/13/01 00:00Z", "99999-01-01", "2020-11-01T04",
]  # fmt: skip
_PLACES = ["999", "-999", "NA", "91", "10°", "10,5", "1e308", "true", "0x10", "inf"]


def _truncated(content: bytes, rng: Random, source: Source) -> bytes:
    return content[: int(rng.integers(0, max(1, len(content))))]


def _flipped(content: bytes, rng: Random, source: Source) -> bytes:
    array = np.frombuffer(content, np.uint8).copy()
    head = rng.random() < 0.5  # where most of a format's structure stands
    for _ in range(int(rng.choice([1, 1, 2, 4, 16]))):
        at = int(rng.integers(0, min(array.size, 4000) if head else array.size))
        array[at] = (
            rng.integers(0, 256) if rng.random() < 0.5 else array[at] ^ (1 << rng.integers(8))
        )
    return array.tobytes()


def _block(content: bytes, rng: Random, source: Source) -> bytes:
    start, size = int(rng.integers(0, len(content))), int(rng.integers(1, 600))
    block = content[start : start + size]
    to = int(rng.integers(0, len(content)))
    filling = {0: b"\0" * size, 1: b"\xff" * size, 2: block, 3: b"", 4: block * 3}
    skipped = start + size if rng.random() < 0.5 else start
    kind = int(rng.integers(5))
    if kind in (2, 4):
        return content[:to] + filling[kind] + content[to:]
    return content[:start] + filling[kind] + content[skipped:]


def _numbers_in_binary(content: bytes, rng: Random, source: Source) -> bytes:
    """Overwrite a word by a number that is a size, an offset or a version where it stands."""
    size = int(rng.choice([1, 2, 4, 8]))
    number = int(rng.choice([0, 1, 2, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**60]))
    packed = (number % 2 ** (8 * size)).to_bytes(size, str(rng.choice(["little", "big"])))
    at = int(rng.integers(0, min(len(content), 6000)))
    return content[:at] + packed + content[at + size :]


def _columns(content: bytes, rng: Random, source: Source, how: str) -> bytes:
    rows = _cells(content, source)
    count = len(rows[0])
    at = int(rng.integers(count))
    order = {
        "permuted": rng.permutation(count).tolist(),
        "dropped": [i for i in range(count) if i != at],
        "doubled": [*range(count), at],
    }[how]
    return _written([[row[i] for i in order] for row in rows if len(row) == count], source)


def _text(change: Callable[[list[str], Random], list[str]]) -> Mutation:
    return lambda content, rng, source: _joined(change(_lines(content), rng))


def _inserted(lines: list[str], rng: Random, new: list[str]) -> list[str]:
    at = int(rng.integers(1, len(lines) + 1))
    return [*lines[:at], *new, *lines[at:]]


def _mixed(lines: list[str], rng: Random) -> list[str]:
    return [line.replace(",", ";") if rng.random() < 0.1 else line for line in lines]


def _decimal_commas(content: bytes, rng: Random, source: Source) -> bytes:
    rows = [[cell.replace(".", ",") for cell in row] for row in _cells(content, source)]
    return _written([_cells(content, source)[0], *rows[1:]], source, ";")


def _many_columns(content: bytes, rng: Random, source: Source) -> bytes:
    lines, sep = _lines(content), source.separator
    extra = sep + sep.join(f"c{i}" for i in range(100_000))
    return _joined([lines[0] + extra, *(line + sep * 100_000 for line in lines[1:3])])


def _brackets(content: bytes, rng: Random, source: Source) -> bytes:
    name = str(rng.choice(["(" * 30_000, "[" + " " * 30_000, "[9⁹⁹⁹⁹⁹⁹⁹⁹⁹ g]", "(9**9**9**9 g)",
                           "[" + "9" * 40_000 + "]", "(km999999999)", "(ug m-3"]))  # fmt: skip
    return content.replace(b"pm25", f"pm25 {name}".encode(), 1)


#: Of text: what happens, what it does to the values, and how it is done.
TEXT: Mapping[str, tuple[str, Mutation]] = {
    "number": (FEWER, _in_cell(_NO_NUMBERS, "pm", "no2", "measurement", "anlage")),
    "stamp": (FEWER, _in_cell(_NO_STAMPS, "time", "date")),
    "place": (FEWER, _in_cell(_PLACES, "lon", "lat")),
    "station": (ANY, _in_cell(["", "NA", "a\nb", "x" * 9000, "\0", "../../x"], "station", "site")),
    "units": (ANY, _in_cell(["9⁹⁹⁹⁹⁹⁹⁹⁹ g", "ppb", "9" * 40_000, "km999999", "%"], "units")),
    "truncated": (FEWER, _truncated),
    "bytes flipped": (ANY, _flipped),
    "block": (ANY, _block),
    "UTF-16": (SAME, lambda c, rng, s: c.decode().encode("utf-16")),
    "Latin-1": (SAME, lambda c, rng, s: c.decode().encode("latin-1", "replace")),
    "BOM": (SAME, lambda c, rng, s: b"\xef\xbb\xbf" + c),
    "CR": (SAME, lambda c, rng, s: c.replace(b"\n", b"\r")),
    "CR LF": (SAME, lambda c, rng, s: c.replace(b"\n", b"\r\n")),
    "NUL": (FEWER, lambda c, rng, s: _block_of(c, rng, b"\0" * int(rng.integers(1, 9)))),
    "mixed separators": (FEWER, _text(_mixed)),
    "decimal commas": (SAME, _decimal_commas),
    "header again": (FEWER, _text(lambda ls, rng: _inserted(ls, rng, [ls[0]]))),
    "no header": (FEWER, _text(lambda ls, rng: ls[1:])),
    "only header": (FEWER, _text(lambda ls, rng: ls[:1])),
    "blank lines": (SAME, _text(lambda ls, rng: _inserted(ls, rng, [""] * 3))),
    "rows again": (SAME, _text(lambda ls, rng: _inserted(ls, rng, ls[1:3]))),
    "rows shuffled": (SAME, _text(lambda ls, rng: [ls[0], *rng.permutation(ls[1:]).tolist()])),
    "quote": (ANY, lambda c, rng, s: _block_of(c, rng, b'"')),
    "columns permuted": (SAME, lambda c, rng, s: _columns(c, rng, s, "permuted")),
    "columns dropped": (FEWER, lambda c, rng, s: _columns(c, rng, s, "dropped")),
    "columns doubled": (SAME, lambda c, rng, s: _columns(c, rng, s, "doubled")),
    "100 000 columns": (FEWER, _many_columns),
    "brackets": (ANY, _brackets),
    "empty": (FEWER, lambda c, rng, s: b"" if rng.random() < 0.5 else b"\n \n"),
}  # fmt: skip


def _block_of(content: bytes, rng: Random, new: bytes) -> bytes:
    at = int(rng.integers(0, len(content)))
    return content[:at] + new + content[at:]


def _virtual(content: bytes, rng: Random, source: Source) -> bytes:
    where = str(rng.choice(["/etc/passwd", "/vsicurl/http://127.0.0.1:9/x", "stations.csv"]))
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{where}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    ).encode()


#: Of binary files.
BINARY: Mapping[str, tuple[str, Mutation]] = {
    "truncated": (FEWER, _truncated),
    "bytes flipped": (ANY, _flipped),
    "block": (ANY, _block),
    "sizes": (ANY, _numbers_in_binary),
    "virtual data set": (FEWER, _virtual),
    "empty": (FEWER, lambda c, rng, s: b""),
}


def archive_of(kind: str, rng: Random) -> bytes:
    """Return a zip that is a bomb, a nest, or holds a path or a link."""
    target = io.BytesIO()
    name = {"path in zip": "../../../../tmp/hourly_1.csv", "absolute path": "/hourly_1.csv"}.get(
        kind
    )
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        if kind == "bomb":
            member = archive.open("hourly_1.csv", "w", force_zip64=True)
            with member:
                for _ in range(int(rng.integers(70, 140))):
                    member.write(b"0,0\n" * 2**18)
        elif kind == "nest":
            inner = archive_of("path in zip", rng)
            for _ in range(3):
                outer = io.BytesIO()
                with zipfile.ZipFile(outer, "w") as layer:
                    for leaf in range(8):
                        layer.writestr(f"{leaf}.zip", inner)
                inner = outer.getvalue()
            archive.writestr("hourly_1.zip", inner)
        elif kind == "link":
            link = zipfile.ZipInfo("hourly_1.csv")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
        else:
            archive.writestr(name or "hourly_1.csv", "a,b\n1,2\n")
    content = bytearray(target.getvalue())
    if kind == "password":
        content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


ARCHIVES = ("bomb", "nest", "link", "path in zip", "absolute path", "password")


def hostile(path: Path, kind: str, source: Path, rng: Random) -> None:
    """Write a file that asks for other files, for all the memory, or holds what it should not."""
    import h5py

    path.write_bytes(source.read_bytes())
    if kind.startswith("h5"):
        with h5py.File(path, "a") as file:
            name = "pm25/block0_values" if "pm25/axis1" in file else "pm25"
            shape = file[name].shape
            if kind == "h5 attribute":
                odd: list[Any] = [np.arange(3), np.nan, b"\xff", 10**9, "9" * 10_000, [1.5, 2.5]]
                keys = "units standard_name scale_factor add_offset _FillValue bounds coordinates"
                key = str(rng.choice(keys.split()))
                at = str(rng.choice([name, *(n for n in ("time", "longitude") if n in file)]))
                file[at].attrs[key] = odd[int(rng.integers(len(odd)))]
                return
            if kind == "h5 huge values":
                number = float(rng.choice([1e300, 1e38, 1e20, np.inf, -1e300, 9.96921e36]))
                if file[name].dtype.kind == "f":
                    file[name][...] = number
                else:
                    file[name].attrs["scale_factor"] = number
                return
            del file[name]
            if kind == "h5 external link":
                file[name] = h5py.ExternalLink(str(source), name)
            elif kind == "h5 external storage":
                file.create_dataset(
                    name, shape, "f8", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
                )
            elif kind == "h5 virtual":
                layout = h5py.VirtualLayout(shape, "f8")
                layout[...] = h5py.VirtualSource(str(source), name, shape)
                file.create_virtual_dataset(name, layout)
            elif kind == "h5 giant":
                file.create_dataset(
                    name, (10**5, 10 ** int(rng.integers(4, 7))), "f8", chunks=(64, 64)
                )
    elif path.suffix == ".gpkg":
        base = sqlite3.connect(path)
        triggers = base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (trigger,) in triggers:  # they call functions that GDAL alone has
            base.execute(f'DROP TRIGGER "{trigger}"')
        if kind == "text in a number":
            word = str(rng.choice(["NA", "abc", "<LOD", "true", "1,5", ""]))
            base.execute("UPDATE points SET pm25 = ? WHERE abs(random()) % 7 = 0", (word,))
        else:
            base.execute("ALTER TABLE points RENAME TO others")
            base.execute(
                "CREATE VIEW points AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                "FROM n) SELECT * FROM others, n"
            )
        base.commit()
        base.close()
    elif path.suffix == ".geojson":
        content = json.loads(source.read_text())
        if kind == "text in a number":
            content["features"][3]["properties"]["pm25"] = [True, "0x10", "<LOD", [1], {}][
                rng.integers(5)
            ]
            path.write_text(json.dumps(content))
        else:
            path.write_text("[" * int(rng.integers(10, 200_000)))
    elif path.suffix == ".parquet":
        table = pd.read_parquet(source) if kind == "text in a number" else pd.DataFrame(
            {"time": np.zeros(int(rng.integers(1, 3)) * 10**7, "i1")}
        )  # fmt: skip
        if kind == "text in a number":
            odd = [[[1.0]] * len(table), [True] * len(table), [{"a": 1}] * len(table)]
            table["pm25"] = odd[int(rng.integers(3))]
        table.to_parquet(path)
    elif path.suffix == ".gz":
        import gzip

        with gzip.open(path, "wb") as stream:
            stream.write(b"station,time,longitude,latitude,pm25\n")
            for _ in range(int(rng.integers(60, 120))):
                stream.write(b"0,0,0,0,0\n" * 2**17)
    elif path.suffix == ".shp":
        for suffix in (".shx", ".prj", ".cpg"):
            path.with_suffix(suffix).write_bytes(source.with_suffix(suffix).read_bytes())
        table_of = bytearray(source.with_suffix(".dbf").read_bytes())
        start, width = struct.unpack("<HH", table_of[8:12])
        if kind == "text in a number":
            at = start + width * int(rng.integers(1, 100)) + width - 20
            table_of[at : at + 10] = b"        NA"
        else:
            table_of[int(rng.integers(len(table_of)))] ^= 0xFF
        path.with_suffix(".dbf").write_bytes(table_of)


#: How often something happens, where it is not once: there are more ways to do it, or fewer.
OFTEN: Mapping[str, float] = {
    "number": 8, "stamp": 8, "place": 3, "station": 2, "units": 2, "bytes flipped": 4, "sizes": 4,
    "block": 2, "text in a number": 4, "h5 attribute": 3, "empty": 0.2, "virtual data set": 0.2,
    "many rows": 0.3, "bomb": 0.5, "archive: bomb": 0.5, "endless view": 0.2,
}  # fmt: skip

#: What is made of good files with the libraries of their formats, by the suffix.
HOSTILE: Mapping[str, tuple[str, ...]] = {
    ".nc": ("h5 attribute", "h5 huge values", "h5 external link",
            "h5 external storage", "h5 virtual", "h5 giant"),
    ".h5": ("h5 huge values", "h5 external link", "h5 external storage", "h5 virtual", "h5 giant"),
    ".gpkg": ("text in a number", "endless view"),
    ".geojson": ("text in a number", "depth"),
    ".parquet": ("text in a number", "many rows"),
    ".shp": ("text in a number", "damaged table"),
    ".gz": ("bomb",),
}  # fmt: skip
