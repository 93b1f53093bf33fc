"""From a table of a source to rows under the names of this package."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from aqreanalysis.observations.checks import Mask
from aqreanalysis.observations.checks.zones import stated_zone
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.columns import (
    LABELLED,
    ROLES,
    Columns,
    guess,
    joined,
    recognise,
    split_units,
)
from aqreanalysis.observations.sources.description import Source
from aqreanalysis.observations.sources.headers import BESIDE
from aqreanalysis.observations.sources.layouts import from_hours, from_wide, units_beside
from aqreanalysis.observations.sources.opening import Block
from aqreanalysis.observations.sources.options import Condition, Reading
from aqreanalysis.observations.sources.stations import identifier, listed_among
from aqreanalysis.observations.sources.text_encoding import WESTERN
from aqreanalysis.observations.variables import folded, known_variable, listed

#: Roles that a line above the columns of a plain table may state: "Station: Hill".
_IN_HEADINGS = ("station", "name", "longitude", "latitude", "altitude", "units", "parameter")

#: Words of the name of a column of flags.
_FLAGS = frozenset(
    (*BESIDE, "flags", "valid", "validity", "verification", "code", "qualifier", "qa", "state")
)

#: Columns that say what a value is of which period; words for others than hourly means.
_STATISTICS = re.compile(
    "stat(istics?)?|agg(regation)?(type)?|averag(e|ing)(period|time)?|avgperiod|sampleduration"
)
_NO_HOURLY_MEAN = re.compile(r"(?i)max|min(?!ut)|median|24|8[ -]?h|day|dail|roll|run|index|aqi")


@dataclass(frozen=True)
class Piece:
    """Rows of a table under this package's names, and facts from its columns' names."""

    table: pd.DataFrame
    columns: Columns
    names: Sequence[str]
    time_zone: str | None = None
    time_label: str | None = None


def piece_of(
    name: str, source: Source, block: Block, is_one_of: bool, reading: Reading, journal: Journal
) -> Piece:
    """Return a table's rows under the names of this package."""
    table = block.table
    names = [str(column) for column in table.columns]
    table = table.set_axis(names, axis=1)
    ragged = block.table.attrs.get("ragged", 0)
    again = _are_names(table)
    if again.any():
        journal.decide(f"{int(again.sum())} repeated lines of names left out")
        table = table[~again]
    for note in block.table.attrs.get("notes", ()):
        journal.warn(note)
    if ragged:
        journal.warn(f"{ragged} lines of {name} have too many or too few fields and are left out")
    encoding = block.table.attrs.get("encoding", "")
    if encoding not in ("", "utf-8-sig", reading.encoding, source.encoding):
        what = f"{name} is no UTF-8 and read in {encoding}; encoding=... names another"
        (journal.warn if encoding == WESTERN else journal.decide)(what)
    columns = _columns(source, names, reading, journal)
    journal.stop_if_faulty()
    if source.is_plain and source.layout == "long":
        columns = _without_row_numbers(table, columns, reading, journal)
        _warn_of_flags(table, columns, reading, journal)
        _warn_of_statistics(table, columns, reading, journal)
    valid = _valid_rows(table, columns, source.layout, reading, journal)
    units = {**columns.units}
    constants = _constants(name, source, block, columns, reading)
    stated = {*columns.roles, *constants, *reading.columns}
    if source.is_plain and source.layout != "wide" and "station" not in stated:
        constants |= _station_in(name, reading, is_one_of, journal)
    if source.layout == "long":
        parts = reading.columns.get("station", "")
        several = {part: part for part in parts} if not isinstance(parts, str) else {}
        chosen = {**columns.roles, **columns.variables, **several}
        own = table[list(chosen.values())].set_axis(list(chosen), axis=1)
        own = _without_bad_flags(own, table, source, columns, journal)
        measured = [str(name) for name in own if name == "value" or name in columns.variables]
        own = own.assign(**{name: own[name].where(_all_of(valid, name)) for name in measured})
    elif source.layout == "wide":
        own = from_wide(
            table[_all_of(valid)], source, columns, constants, units, block.units, reading, journal
        )
    else:
        own = from_hours(table[_all_of(valid)], source, columns, reading, journal)
    own = _of_one_duration(_with_station(own, source, reading, journal), journal)
    for role, value in constants.items():
        if role not in own.columns or (role == "station" and reading.station is not None):
            own = own.assign(**{role: value})
    raw_time = str(columns.roles.get("time", columns.roles.get("date", "")))
    if source.is_plain and re.search(r"(?i)\bsince\b", raw_time):
        raise ObservationError(
            f"the column {raw_time} counts time from a beginning: write stamps such as "
            "2015-03-01T00:00Z"
        )
    zone = stated_zone(raw_time) if source.is_plain else _utc_in(raw_time)
    label = LABELLED.get(folded(raw_time)) if source.is_plain else None
    measured_in = {**columns.variables}
    if source.is_plain and "value" in columns.roles and "units" not in columns.roles:
        measured_in["value"] = columns.roles["value"]
        own_units = split_units(columns.roles["value"])[1]
        units |= {"value": own_units} if own_units else {}
    for variable, column in measured_in.items():
        beside = block.units.get(column) or units_beside(table, column)
        if variable not in units and beside:
            units[variable] = beside
    return Piece(own, replace(columns, units=units), names, zone, label)


def _utc_in(name: str) -> str | None:
    """Return UTC where the name of a column of times says it."""
    return "UTC" if re.search("(?i)utc|gmt", name) else None


def _are_names(table: pd.DataFrame) -> Mask:
    """Return which rows hold the names of the columns, where files were joined."""
    same = np.ones(len(table), dtype=bool)
    for name in table.columns:
        if table[name].dtype.kind in "iufbM" or not same.any():
            return np.zeros(len(table), dtype=bool)
        same &= (table[name].astype(object) == name).to_numpy()
    return same


def _columns(source: Source, names: Sequence[str], reading: Reading, journal: Journal) -> Columns:
    """Return the columns of a table: of its description, or by their usual names."""
    parts = reading.columns.get("station")
    several = parts if parts is not None and not isinstance(parts, str) else ()
    absent = [part for part in several if part not in names]
    if absent:
        journal.fault(
            f"columns names {listed(absent)} for station; the columns are {listed(names)}"
        )
    given = {k: c for k, c in reading.columns.items() if isinstance(c, str) and k != "variable"}
    if source.is_plain:
        free = [n for n in names if n not in several or n in given.values()]
        if source.layout == "wide":
            guessed = guess(free, {k: c for k, c in given.items() if c in names})
            keys = ("time", "date", "hour", "year", "month", "parameter", "end", "units")
            roles = {k: c for k, c in guessed.roles.items() if k in keys}
            if not {"date", "year"} & set(roles):
                roles.pop("hour", None)
            return Columns(roles, {}, {})
        if source.layout == "hours":
            guessed = guess(free, {k: c for k, c in given.items() if c in names})
            return Columns(guessed.roles, {}, {})
        return recognise(free, given, journal=journal)
    columns = source.all_columns_in(names)
    if source.names and not columns:
        columns = {name: name for name in names if name}
        if source.layout == "hours":
            columns = {n: n for n in columns if not source.is_series(n)
                       and source.hour_of_flag(n) is None}  # fmt: skip
    columns |= given
    needed = source.needed or (() if source.names and not source.columns else source.signature)
    missing = [
        (source.columns.get(role) or (role,))[0]
        for role in needed
        if role not in columns
        and not (role == "station" and (reading.station or several))
        and not (role in ("longitude", "latitude") and reading.stations is not None)
    ]
    missing += [column for column in given.values() if column not in names]
    if missing:
        raise ObservationError(
            f"{source.title} lacks the columns {listed(missing)}; it has {listed(names)}",
            source=journal.source,
        )
    helpers = {*source.station_parts, "duration"}
    roles = {r: c for r, c in columns.items() if r in ROLES or r in helpers}
    if reading.stations is not None:  # its positions hold
        roles = {r: c for r, c in roles.items() if r not in ("longitude", "latitude", "datum")}
    variables = {
        r: c for r, c in columns.items() if (r in given and r not in ROLES) or _is_variable(r)
    }
    return Columns(roles, variables, {})


def _is_variable(role: str) -> bool:
    """Return whether a name in a description is that of a variable."""
    return role not in ROLES and known_variable(role) == role


def _valid_rows(
    table: pd.DataFrame, columns: Columns, layout: str, reading: Reading, journal: Journal
) -> dict[str, Mask]:
    """Return which rows meet the conditions: of each variable that has some, and "" of all."""
    valid = {"": np.ones(len(table), dtype=bool)}
    for condition in (*reading.valid, *_usual_conditions(table, reading)):
        if condition.column == "flag" and layout == "hours":
            continue
        if condition.column not in table.columns:
            raise ObservationError(
                f"valid names the column {condition.column!r}; the columns are "
                f"{listed(table.columns)}",
                source=journal.source,
            )
        meets = condition.holds(table[condition.column])
        variable = _flagged_by(condition.column, columns) if layout == "long" else ""
        if variable:
            meets |= table[columns.variables[variable]].isna().to_numpy()
        if not meets.all():
            what = f"values of {variable}" if variable else "rows"
            journal.decide(f"{int((~meets).sum())} {what} are not {condition} and are not used")
            valid[variable] = valid.get(variable, True) & meets
    return valid


def _all_of(valid: Mapping[str, Mask], variable: str = "") -> Mask:
    """Return which rows of a variable meet the conditions, its own and those of all."""
    return valid[""] & valid.get(variable, True)


def _flagged_by(column: str, columns: Columns) -> str:
    """Return the variable that a column of flags is of: "no2_flag", "Ozone status"; or ""."""
    words = [word for word in re.split(r"[\W_]+", column) if folded(word) not in _FLAGS]
    names = {folded(name): variable for variable, name in columns.variables.items()}
    known = known_variable(" ".join(words)) if words else None
    return (
        names.get(folded("".join(words))) or (known if known in columns.variables else None) or ""
    )


def _warn_of_flags(
    table: pd.DataFrame, columns: Columns, reading: Reading, journal: Journal
) -> None:
    """Say which columns of flags beside a variable, or of all rows, are not used."""
    used = {condition.column for condition in reading.valid}
    stems = {folded(name) for name in (*columns.variables, *columns.variables.values())} | {""}
    flags = {stem + word for stem in stems for word in BESIDE if not word.startswith("unit")}
    for name in table.columns:
        if folded(name) not in flags or name in used or name in reading.columns.values():
            continue
        words = table[name].value_counts().index  # the usual one first, which is mostly the good
        if len(words) > 1:
            journal.warn(
                f"the column {name} ({listed(words, 5)}) is not used; which rows count is said by "
                f"valid='{name}={words[0]}' or the like"
            )


def _warn_of_statistics(
    table: pd.DataFrame, columns: Columns, reading: Reading, journal: Journal
) -> None:
    """Say where a column says that values are no means of single hours.

    Where it says several things, such as a mean and a maximum, it is a fault.
    """
    stated = {condition.column for condition in reading.valid}
    for name in table.columns:
        is_one = _STATISTICS.fullmatch(folded(name)) and name not in columns.roles.values()
        if not is_one or name in stated:
            continue
        words = [str(word) for word in table[name].dropna().unique()]
        odd = [word for word in words if _NO_HOURLY_MEAN.search(word)]
        if not odd:
            continue
        remedy = f"say which rows count with valid='{name}={words[0]}' or the like"
        if len(words) > 1:
            journal.fault(f"the column {name} says {listed(words, 5)}: {remedy}")
        elif reading.statistic is None:
            journal.warn(
                f"the column {name} says {words[0]}, and values are taken for means of the step of "
                "their times; statistic='maximum' says another, columns of single hours are better"
            )


def _without_row_numbers(
    table: pd.DataFrame, columns: Columns, reading: Reading, journal: Journal
) -> Columns:
    """Return columns without a "NO" that counts the rows, and is no nitrogen monoxide."""
    column = columns.variables.get("no")
    if column is None or "no" in reading.columns or len(table) < 3:
        return columns
    numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    if not (np.diff(numbers) == 1).all():
        return columns
    journal.decide(f"column {column!r} is taken for a row number; columns={{'no': ...}} reads it")
    variables = {name: own for name, own in columns.variables.items() if name != "no"}
    return replace(columns, variables=variables)


def _usual_conditions(table: pd.DataFrame, reading: Reading) -> list[Condition]:
    """Return the condition of a column of validity in the codes of Europe, -99 to 4."""
    used = {condition.column for condition in reading.valid}
    for name in table.columns:
        if folded(name) == "validity" and name not in used and name not in reading.columns.values():
            codes = pd.to_numeric(table[name], errors="coerce").dropna().unique()
            if len(codes) and set(codes) <= {-99, -1, 1, 2, 3, 4}:
                return [Condition(name, ">=", ("1",))]
    return []


def _without_bad_flags(
    own: pd.DataFrame, table: pd.DataFrame, source: Source, columns: Columns, journal: Journal
) -> pd.DataFrame:
    """Return the rows without the values whose own flag is not good."""
    for variable in columns.variables if source.flag else ():
        flag = source.flag.format(variable)
        column = next((name for name in table.columns if folded(name) == folded(flag)), None)
        if column is None:
            continue
        condition = Condition.of(f"{column}{source.good}")
        refused = ~condition.holds(table[column]) & own[variable].notna().to_numpy()
        if refused.any():
            journal.decide(
                f"{int(refused.sum())} values of {variable} are not {condition} and are not used"
            )
            own = own.assign(**{variable: own[variable].mask(refused)})
    return own


def _of_one_duration(own: pd.DataFrame, journal: Journal) -> pd.DataFrame:
    """Return the rows of the shortest averaging time of each monitor and stamp."""
    if "duration" not in own.columns:
        return own
    rest = own.drop(columns="duration")
    keys = [str(name) for name in rest if name != "value"]
    codes, words = pd.factorize(own["duration"])
    if len(words) > 1 and rest.duplicated(keys).any():
        numbers = [re.match(r"\d+", str(word)) for word in words]
        order = np.argsort([int(m[0]) if m else 10**6 for m in numbers], kind="stable")
        rank = pd.Series(np.append(np.argsort(order), len(words))[codes], index=own.index)
        best = rank.groupby([rest[key] for key in keys], observed=True, dropna=False)
        longer = (rank > best.transform("min")).to_numpy()
        if longer.any():
            journal.decide(
                f"{int(longer.sum())} rows are of a further averaging time beside a shorter one "
                f"({listed(words[order])}) and are not used"
            )
            return rest[~longer]
    return rest


def _with_station(
    own: pd.DataFrame, source: Source, reading: Reading, journal: Journal
) -> pd.DataFrame:
    """Return the rows with one column of stations, made of its parts."""
    parts = reading.columns.get("station")
    if parts is not None and not isinstance(parts, str):
        text = joined([own[part] for part in parts], _dashed)
        rest = own.drop(columns=[p for p in parts if p not in ROLES and not _is_variable(p)])
        return rest.drop(columns="station", errors="ignore").assign(station=text)
    if source.station_parts and set(source.station_parts) <= set(own.columns):
        incomplete = own[list(source.station_parts)].isna().any(axis=1).to_numpy()
        if incomplete.any():
            journal.fault(
                f"row {int(np.argmax(incomplete)) + 1} has no {_and(source.station_parts)} "
                f"({int(incomplete.sum())} such rows)",
                share=incomplete.mean(),
            )
            journal.stop_if_faulty()
            own = own[~incomplete]
        widths = list(source.station_parts.values())
        text = joined(
            [own[part] for part in source.station_parts],
            lambda *words: "-".join(
                identifier(word).zfill(width) for word, width in zip(words, widths, strict=True)
            ),
        )
        return own.drop(columns=list(source.station_parts)).assign(station=text)
    if source.station_pattern and "station" in own.columns:
        pattern = rf"^{source.station_pattern}$"
        text = own["station"].astype(str).str.extract(pattern, expand=False)
        return own.assign(station=text.fillna(own["station"].astype(str)))
    return own


def _and(parts: Mapping[str, int]) -> str:
    """Return names as a text: "state, county or site"."""
    *first, last = parts
    return f"{', '.join(first)} or {last}"


def _dashed(*parts: object) -> str:
    """Return an identifier from its parts."""
    return "-".join(map(identifier, parts))


def _constants(
    name: str, source: Source, block: Block, columns: Columns, reading: Reading
) -> dict[str, str]:
    """Return values common to all rows: of the caller, the lines above or the file's name."""
    constants = {**source.constants, **source.in_file_name(name)}
    if source.is_plain:
        if "parameter" not in columns.roles and not columns.variables:
            variable = _variable_in(name)
            unit = re.search(r"(?i)(?<![a-z])(ppb|ppm|[um]g[-_ ]?m-?3)(?![a-z0-9])", name)
            if unit and not {"units"} & {*columns.roles, *columns.units}:
                constants["units"] = re.sub(r"[-_ ]?m-?3$", "/m3", unit[1])
            if variable is not None and "variable" not in reading.columns:
                constants["parameter"] = variable
        for line in block.above:
            match = re.fullmatch(r"[\s#%;*\"]*([^:=,;\t]+?)\s*[:=,;\t]+\s*(.+?)[\s,;\t\"]*", line)
            key = folded(match[1]) if match else ""
            role = next((role for role in _IN_HEADINGS if key in ROLES[role]), None)
            if match and role and role not in constants:
                constants[role] = match[2].strip()
                if role in ("longitude", "latitude", "altitude"):
                    constants[role] = re.sub(r"^(-?\d+),(\d+).*$", r"\1.\2", constants[role])
        if "parameter" in constants and known_variable(constants["parameter"]) is None:
            del constants["parameter"]
    if source.file_name and "name" in constants and "station" not in columns.roles:
        constants.setdefault("station", constants["name"])
    for role, pattern in source.heading.items():
        lines = [re.match(pattern, line) for line in block.above]
        words = [match[1].strip() for match in lines if match]
        if words:
            constants[role] = words[-1]
    if reading.station is not None:
        constants["station"] = reading.station
    if (
        "variable" in reading.columns
        and "parameter" not in columns.roles
        and (source.layout != "long" or "value" in columns.roles or not columns.variables)
    ):
        constants["parameter"] = str(reading.columns["variable"])
    if "parameter" in columns.roles:
        constants.pop("parameter", None)
    return {r: v for r, v in constants.items() if r in ROLES}


def _station_in(name: str, reading: Reading, several: bool, journal: Journal) -> dict[str, str]:
    """Return the station that a file is named after: one of the list, or one of several files."""
    stem = Path(name).name.split(".")[0]
    if reading.stations is not None:
        words = [stem, *re.split(r"[_\- ]+", stem)]
        for word in words:
            if listed_among(reading.stations, [word], reading.station_columns):
                journal.decide("the station is taken from the file's name")
                return {"station": word}
    if not several:
        return {}
    journal.decide("stations are taken from the files' names")
    return {"station": stem}


def _variable_in(name: str) -> str | None:
    """Return the one pollutant that a file's name names, if any."""
    stem = re.sub(r"(?i)pm2[._p]?5", "pm25", Path(name).name.split(".csv")[0])
    words = [word for word in re.split(r"[^0-9A-Za-z]+|(?<=\d{4})(?=[A-Za-z])", stem) if word]
    names = {known_variable(word) for word in words if folded(word) not in ("no", "in")} - {None}
    return names.pop() if len(names) == 1 else None
