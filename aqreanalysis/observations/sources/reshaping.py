"""Wide tables to long ones: columns of stations, or of hours of the day, become rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.sources.options import Condition


def stations_to_rows(
    table: pd.DataFrame, kept: Mapping[str, str], series: Sequence[str], value: str
) -> pd.DataFrame:
    """Return a table with a row a station and time from one with a column a station.

    ``kept`` are the columns that stay, by their new name; ``value`` is that of the values.

    Examples
    --------
    >>> table = pd.DataFrame({"t": [1, 2], "A": [3.0, 4.0], "B": [5.0, 6.0]})
    >>> stations_to_rows(table, {"time": "t"}, ["A", "B"], "pm25").values.tolist()
    [[1, 'A', 3.0], [2, 'A', 4.0], [1, 'B', 5.0], [2, 'B', 6.0]]
    """
    rows = np.tile(np.arange(len(table)), len(series))
    long = table[list(kept.values())].iloc[rows].set_axis(list(kept), axis=1)
    codes = np.repeat(np.arange(len(series)), len(table))
    return long.reset_index(drop=True).assign(
        station=pd.Categorical.from_codes(codes, pd.Index(series)),
        **{value: table[list(series)].to_numpy().ravel(order="F")},
    )


def hours_to_rows(
    table: pd.DataFrame,
    kept: Mapping[str, str],
    hours: Mapping[str, str],
    flags: Mapping[str, str],
    good: Condition | None,
    *,
    journal: Journal,
) -> pd.DataFrame:
    """Return a table with a row an hour from one with a row a day and a column an hour.

    ``hours`` and ``flags`` map columns to the hour; a value whose flag is not ``good`` is missing.

    Examples
    --------
    >>> table = pd.DataFrame({"d": ["2020-01-01"], "H01": [3.0], "H02": [4.0]})
    >>> hours = {"H01": "01", "H02": "02"}
    >>> hours_to_rows(table, {"date": "d"}, hours, {}, None, journal=Journal("t")).values.tolist()
    [['2020-01-01', '01', 3.0], ['2020-01-01', '02', 4.0]]
    """
    values = table[list(hours)].to_numpy(dtype=object)
    if flags and good is not None:
        by_hour = {hour: column for column, hour in flags.items()}
        refused = np.zeros(values.shape, dtype=bool)
        for place, hour in enumerate(hours.values()):
            if hour in by_hour:
                flag = table[by_hour[hour]]
                refused[:, place] = ~good.holds(flag) & table[list(hours)[place]].notna().to_numpy()
        if refused.any():
            journal.decide(f"{int(refused.sum())} values whose flag is not {good} are not used")
            values[refused] = None
    rows = np.repeat(np.arange(len(table)), len(hours))
    long = table[list(kept.values())].iloc[rows].set_axis(list(kept), axis=1)
    return long.reset_index(drop=True).assign(
        hour=np.tile(np.array(list(hours.values()), dtype=object), len(table)),
        value=pd.Series(values.ravel()).infer_objects(),
    )
