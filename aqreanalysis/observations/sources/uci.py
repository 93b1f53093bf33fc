"""The Beijing multi-site archive of UCI (set 501): the zip as it is shipped."""

from aqreanalysis.observations.sources.layouts import Layout

_COLUMNS = {
    "station": ("station",),
    "year": ("year",),
    "month": ("month",),
    "date": ("day",),
    "hour": ("hour",),
    "pm25": ("PM2.5",),
    "pm10": ("PM10",),
    "so2": ("SO2",),
    "no2": ("NO2",),
    "co": ("CO",),
    "o3": ("O3",),
    "temperature": ("TEMP",),
    "pressure": ("PRES",),
    "dew_point": ("DEWP",),
    "rain": ("RAIN",),
    "wind_direction": ("wd",),
    "wind_speed": ("WSPM",),
}

#: The hours are local, and hour 0 is the hour that begins at midnight.
UCI = Layout(
    title="the UCI archive",
    columns=_COLUMNS,
    needed=tuple(_COLUMNS),
    signature=("year", "month", "date", "hour", "wind_speed", "station"),
    archive="prsa*",
    files="*prsa_data*",
    time_zone="UTC+8",
    units={
        **dict.fromkeys(("pm25", "pm10", "so2", "no2", "co", "o3"), "ug m-3"),
        "temperature": "degC",
        "pressure": "hPa",
        "dew_point": "degC",
        "rain": "mm",
        "wind_direction": "degree",
        "wind_speed": "m s-1",
    },
    categories=("station", "wind_direction"),
    has_positions=False,
)
