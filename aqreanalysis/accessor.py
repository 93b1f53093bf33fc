"""``dataset.aqnet``: the functions for observations and for products, as methods of a Dataset."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from aqreanalysis.conventions import STATION, ZONE
from aqreanalysis.network import StationNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aqreanalysis.derived.aggregate import Period
    from aqreanalysis.foreign.background import BackgroundField
    from aqreanalysis.foreign.polygons import PolygonSource
    from aqreanalysis.geography import Geography
    from aqreanalysis.methods.neural.reanalyser import Reanalyser
    from aqreanalysis.observations import Quality, QualityLimits


@xr.register_dataset_accessor("aqnet")
class AqnetAccessor:
    """Methods of observations ``(station, time)`` and of products; each calls one function.

    Parameters
    ----------
    dataset : Dataset

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> obs.aqnet.validate()
    >>> obs.aqnet.network
    <StationNetwork: 45 stations, ...>
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    @property
    def network(self) -> StationNetwork:
        """The stations as a network, with neighbours, distances and folds."""
        return StationNetwork.from_dataset(self._dataset)

    def validate(self) -> None:
        """Check the observations; one error names all faults.

        Raises
        ------
        ObservationError
            Dimensions, positions, time axis, units or values are not valid.
        """
        from aqreanalysis.observations import validate

        validate(self._dataset)

    def qc(
        self,
        variables: str | Sequence[str] | None = None,
        *,
        limits: "QualityLimits | None" = None,
        report: str | os.PathLike[str] | None = None,
    ) -> xr.Dataset:
        """Quality control: ``<variable>_qc`` with a bit for each check that a value fails.

        No value is removed. `aqreanalysis.observations.qc_table` counts by station;
        ``completeness()`` draws who reported when.

        Parameters
        ----------
        variables : str or sequence of str, optional
            Pollutants; all by default.
        limits : QualityLimits, optional
            Limits of the checks of single values.
        report : path, optional
            HTML file to write with findings, completeness and tables.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
        >>> obs.aqnet.qc().pm25_qc.attrs["flag_meanings"].split()[:3]
        ['missing', 'missing_code', 'daily_values']
        """
        from aqreanalysis.observations import qc

        checked = qc(self._dataset, variables, limits=limits)
        if report is not None:
            from aqreanalysis.report import write_quality_report

            write_quality_report(checked, report)
        return checked

    def completeness(self, variable: str | None = None, *, axes: Any = None) -> "Figure":
        """Draw which station reported when, and where values are flagged, as a matplotlib Figure.

        Parameters
        ----------
        variable : str, optional
            Pollutant; pm25 if it is present, else the only one.
        axes : matplotlib Axes, optional
            Draw there instead of on a new figure.
        """
        from aqreanalysis.observations import default_variable
        from aqreanalysis.report import completeness

        variable = variable or default_variable(self._dataset)
        seen = f"{variable}_qc" in self._dataset
        checked = self._dataset if seen else self.qc(variable)
        return completeness(checked, variable, axes=axes)

    def fit(
        self,
        variable: str | Sequence[str] | None = None,
        *,
        background: "BackgroundField | None" = None,
        geography: "Geography | None" = None,
        quality: "Quality" = "mask",
        **settings: Any,
    ) -> "Reanalyser | dict[str, Reanalyser]":
        """Train a neural kNN on the observations, or one for each of several pollutants, by name.

        Parameters
        ----------
        variable : str or sequence of str, optional
            Pollutant; pm25 if it is present, else the only one. Of several, what comes back goes
            to ``reanalyse(variable, method=...)``; a checkpoint has the name of each in its own.
        background : DataArray, Dataset or sequence of these, optional
            Fields known everywhere, of which the departures of the stations are learned.
        geography : bool, str, path, DataArray, Dataset or sequence of these, optional
            Attributes of places, of which they are learned as well; as of
            `aqreanalysis.reanalysis.reanalyse`, which needs no mention of them again.
        quality : {"mask", "flag", "ignore"}
            As of `aqreanalysis.reanalysis.reanalyse`.
        **settings
            ``seed``, ``progress``, ``configuration``, ``schedule`` and ``checkpoint`` of
            `aqreanalysis.Reanalyser`.
        """
        from aqreanalysis.reanalysis import fitted_models

        models = fitted_models(
            self._dataset,
            variable,
            background=background,
            geography=geography,
            quality=quality,
            **settings,
        )
        several = variable is not None and not isinstance(variable, str)
        return models if several else next(iter(models.values()))

    def reanalyse(self, variable: str | Sequence[str] | None = None, **options: Any) -> xr.Dataset:
        """Complete fields on a grid, or series at given stations, as a lazy CF product.

        Parameters
        ----------
        variable : str or sequence of str, optional
            Pollutant; pm25 if it is present, else the only one. Several come into one product.
        **options
            Of `aqreanalysis.reanalysis.reanalyse`: ``grid``, ``region`` and ``crs``, ``like`` for
            the cells of another file, or ``at`` for stations; ``clip``, ``land``, ``method``,
            ``time``, ``background``, ``geography``, ``statistic``, ``quantiles``, ``draws``,
            ``draws_of``, ``seed``, ``progress``, ``creator``, ``metadata``, ``memory``,
            ``chunks``, ``quality``.

        Returns
        -------
        Dataset
            The variable, ``<variable>_uncertainty`` (one standard error), ``<variable>_flag`` and
            ``distance_to_nearest_station``.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
        >>> product = obs.aqnet.reanalyse(grid=0.5, method="kriging")
        >>> product.pm25.dims, product.pm25.attrs["units"]
        (('time', 'lat', 'lon'), 'ug m-3')
        """
        from aqreanalysis.reanalysis import reanalyse

        return reanalyse(self._dataset, variable, **options)

    def fill(self, variable: str | None = None, **options: Any) -> xr.Dataset:
        """Fill gaps of the observations; measurements stay as they are.

        ``<variable>_origin`` is 0 measured, 1 estimated, 2 no estimate;
        ``<variable>_uncertainty`` is the standard error of an estimate.

        Parameters
        ----------
        variable : str, optional
            Pollutant; pm25 if it is present, else the only one.
        **options
            ``method``, ``seed``, ``progress`` and ``quality`` of `aqreanalysis.filling.fill`.
        """
        from aqreanalysis.filling import fill

        return fill(self._dataset, variable, **options)

    def outlook(
        self, horizon: int | float | str = "7D", variable: str | None = None, **options: Any
    ) -> xr.Dataset:
        """Forecast at the stations, at other places or on a grid, as a CF product.

        Parameters
        ----------
        horizon : number of hours or str
            How far ahead.
        variable : str, optional
            Pollutant; pm25 if it is present, else the only one.
        **options
            Of `aqreanalysis.outlook.outlook`: ``start``, one in the past for a hindcast or several
            for a set, ``grid``, ``region``, ``crs``, ``like``, ``clip``, ``land`` or ``at``,
            ``method``, ``statistic``, ``quantiles``, ``attention``, ``seed``, ``quality``.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
        >>> ahead = obs.aqnet.outlook("6h", method="persistence", progress=False)
        >>> ahead.pm25.dims, ahead.lead_time.values
        (('station', 'time'), array([0., 1., 2., 3., 4., 5.]))
        """
        from aqreanalysis.outlook import outlook

        return outlook(self._dataset, horizon, variable, **options)

    def verify(
        self,
        variable: str | None = None,
        *,
        report: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Score methods at hidden stations, as sums of `aqreanalysis.verification.statistics`.

        `aqreanalysis.verification.metrics` turns the sums into scores, overall and by distance,
        level, hour, month and station; ``intervals`` and ``differences`` into intervals.

        Parameters
        ----------
        variable : str, optional
            Pollutant; pm25 if it is present, else the only one.
        report : path, optional
            HTML file to write with tables, maps and curves.
        **options
            Of `aqreanalysis.verification.verify`: ``methods``, ``by``, ``folds``, ``buffer_km``,
            ``time``, ``statistic``, ``events``, ``geography``, ``seed``, ``progress``,
            ``quality``.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> from aqreanalysis.verification import metrics
        >>> obs = aqr.synthetic_network(stations=15, hours=24, seed=0).observations
        >>> summed = obs.aqnet.verify(methods=["kriging", "idw"], folds=3, progress=False)
        >>> scores = metrics(summed)
        >>> bool(scores.rmse.sel(estimator="kriging") < scores.rmse.sel(estimator="idw"))
        True
        """
        if report is not None:
            from aqreanalysis.report import verify_and_report

            return verify_and_report(self._dataset, report, variable, **options)
        from aqreanalysis.verification import verify

        return verify(self._dataset, variable, **options)

    def aggregate(self, period: "Period" = "day", **options: Any) -> xr.Dataset:
        """Return means, maxima, percentiles or counts of days to years, of a product with errors.

        Parameters
        ----------
        period : {"day", "week", "month", "season", "year"}
        **options
            ``statistic``, ``limit``, ``capture`` and ``time_zone`` of
            `aqreanalysis.derived.aggregate`.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=72, seed=0).observations
        >>> str(obs.aqnet.aggregate("day", time_zone="Asia/Shanghai").time.values[1])[:13]
        '2020-11-01T16'
        """
        from aqreanalysis.derived import aggregate

        return aggregate(self._dataset, period, **options)

    def exceedance(self, limit: float | Sequence[float], variable: str | None = None) -> xr.Dataset:
        """Return this product with the probability that a limit is exceeded, for each value.

        Parameters
        ----------
        limit : float or sequence of float
            In ug m-3.
        variable : str, optional
            Pollutant; the product's only one by default.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=24, seed=0).observations
        >>> above = obs.aqnet.reanalyse(grid=0.5, method="idw").aqnet.exceedance(75.0)
        >>> above.pm25_above_75.attrs["long_name"]
        'probability of PM2.5 mass concentration above 75 ug m-3'
        """
        from aqreanalysis.derived import exceedance

        return exceedance(self._dataset, limit, variable)

    def index(
        self, index: str = "us_epa", variables: Sequence[str] | str | None = None
    ) -> xr.Dataset:
        """Return this dataset with an air-quality index for each hour, its categories and colours.

        Parameters
        ----------
        index : {"us_epa", "china", "europe", "germany"}
            Of `aqreanalysis.derived.INDICES`.
        variables : str or sequence of str, optional
            Pollutants that count; by default all that the index has.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
        >>> obs.aqnet.index("china", "pm25").index_category.attrs["flag_meanings"].split()[:3]
        ['no_index', 'excellent', 'good']
        """
        from aqreanalysis.derived import air_quality_index

        return air_quality_index(self._dataset, index, variables)

    def zones(
        self,
        polygons: "PolygonSource",
        variable: str | Sequence[str] | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Return means over zones, such as districts, per hour or period, with errors from draws.

        Parameters
        ----------
        polygons : path, GeoDataFrame, GeoSeries or shapely geometry
            A zone a row.
        variable : str or sequence of str, optional
            Pollutants; all by default.
        **options
            ``name``, ``weights``, ``period``, ``statistic``, ``limit``, ``capture``, ``time_zone``
            and ``coverage`` of `aqreanalysis.derived.zone_means`.

        Examples
        --------
        >>> import aqreanalysis as aqr, shapely
        >>> obs = aqr.synthetic_network(hours=24, seed=0).observations
        >>> product = obs.aqnet.reanalyse(grid=0.25, method="kriging", draws=20, draws_of="air")
        >>> means = product.aqnet.zones(shapely.box(116, 39.5, 117, 40.5), period="day")
        >>> sorted(means.data_vars)
        ['pm25', 'pm25_flag', 'pm25_q05', 'pm25_q50', 'pm25_q95', 'pm25_uncertainty']
        """
        from aqreanalysis.derived import zone_means

        return zone_means(self._dataset, polygons, variable, **options)

    def to_netcdf(
        self, path: str | os.PathLike[str], *, progress: bool = True, **options: Any
    ) -> Path:
        """Write this product as CF NetCDF; the file appears when it is complete.

        Options are those of
        `aqreanalysis.product.write_netcdf`: ``overwrite``, ``compress``,
        ``significant_digits``, ``dimension_order``, ``resume``, ``cf_version``.
        """
        from aqreanalysis.product import write_netcdf

        return write_netcdf(self._dataset, path, progress=progress, **options)

    def to_geotiff(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write maps of this product as cloud-optimised GeoTIFF, a file or a folder of them.

        Options are those of `aqreanalysis.exports.write_geotiff`: ``per="bands"``, ``"hour"`` or
        ``"day"``, ``variable``, ``overwrite``, ``significant_digits``, ``progress``.

        Examples
        --------
        >>> import aqreanalysis as aqr, tempfile
        >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
        >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     product.aqnet.to_geotiff(f"{folder}/pm25.tif").name
        'pm25.tif'
        """
        from aqreanalysis.exports import write_geotiff

        return write_geotiff(self._dataset, path, **options)

    def to_geopackage(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write stations with their hours or scores, or contours of a grid, as a GeoPackage.

        Options are those of `aqreanalysis.exports.write_geopackage`: ``variable``, ``levels``,
        ``overwrite``, ``progress``.

        Examples
        --------
        >>> import aqreanalysis as aqr, tempfile
        >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
        >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     product.aqnet.to_geopackage(f"{folder}/areas.gpkg", levels=[35, 75]).name
        'areas.gpkg'
        """
        from aqreanalysis.exports import write_geopackage

        return write_geopackage(self._dataset, path, **options)

    def to_geoparquet(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the table of `to_geopackage` as GeoParquet.

        Options are those of `aqreanalysis.exports.write_geoparquet`: ``variable``, ``levels``,
        ``overwrite``, ``progress``.

        Examples
        --------
        >>> import aqreanalysis as aqr, tempfile
        >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     obs.aqnet.to_geoparquet(f"{folder}/stations.parquet").name
        'stations.parquet'
        """
        from aqreanalysis.exports import write_geoparquet

        return write_geoparquet(self._dataset, path, **options)

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write this product as one page to look through in a browser, without a network.

        Options are those of `aqreanalysis.viewer.write_viewer`: ``layers``, ``observations``,
        ``hidden``, ``limits``, ``time_zone``, ``title``, ``overwrite``, ``progress``.

        Examples
        --------
        >>> import aqreanalysis as aqr, tempfile
        >>> obs = aqr.synthetic_network(hours=6, seed=0).observations
        >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     product.aqnet.to_html(f"{folder}/viewer.html", observations=obs).name
        'viewer.html'
        """
        from aqreanalysis.viewer import write_viewer

        return write_viewer(self._dataset, path, **options)

    def to_zarr(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write this product as a Zarr store, in parallel.

        Options are those of `aqreanalysis.product.write_zarr`: ``overwrite``,
        ``significant_digits``.
        """
        from aqreanalysis.product import write_zarr

        return write_zarr(self._dataset, path, **options)

    def to_table(self, path: str | os.PathLike[str]) -> Path:
        """Write these observations as a table: .csv, .csv.gz, .parquet or .gpkg; zones as .csv."""
        if ZONE in self._dataset.dims:
            from aqreanalysis.exports import export

            return export(self._dataset, path, overwrite=True)
        from aqreanalysis.observations import write_table

        return write_table(self._dataset, path)

    def map(
        self,
        variable: str | None = None,
        *,
        observations: xr.Dataset | None = None,
        hidden: xr.Dataset | Iterable[str] | None = None,
        panels: Sequence[Any] | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> "Figure":
        """Map of a product, or of the observations themselves, as a matplotlib Figure.

        Parameters
        ----------
        variable : str, optional
            By default the product's own, or pm25 of observations.
        observations : Dataset, optional
            Stations to draw over a product.
        hidden : Dataset or sequence of str, optional
            Stations that the method did not see, drawn with a mark of their own.
        panels : sequence or mapping, optional
            Several maps side by side: hours, "value" and "uncertainty", other layers, numbers of
            draws, other products; of `aqreanalysis.maps.map_panels`.
        **options
            ``time``, ``start``, ``draw``, ``what="uncertainty"``, ``region``, ``title``, ``axes``
            and the style of `aqreanalysis.maps.map_field` and `aqreanalysis.maps.map_stations`:
            ``limits``, ``levels``, ``cmap``, ``inset="Beijing"``, ``contours``, ``uncertain``,
            ``size_by_value``, ``local_time`` ...

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
        >>> product = obs.aqnet.reanalyse("pm25", grid=0.5, method="kriging")
        >>> figure = product.aqnet.map(time=obs.time.values[0], panels=["value", "uncertainty"])
        >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
        ['Estimate', 'Standard error']
        """
        from aqreanalysis.maps import map_field, map_panels, map_stations
        from aqreanalysis.maps.layers import check_over_field

        options |= {"variable": variable, "hidden": hidden}
        if panels is not None:
            if observations is not None:
                options["observations"] = observations
            return map_panels(self._dataset, panels, **options)
        if STATION in self._dataset.dims:
            check_over_field(self._dataset, observations)
            return map_stations(self._dataset, **options)
        return map_field(self._dataset, observations=observations, **options)

    def animate(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write an animation of this product's hours as .mp4 or .gif; it appears when complete.

        Options are those of `aqreanalysis.maps.animate`: ``variable``, ``time`` for a part of the
        hours, ``observations``, ``hidden``, ``region``, ``what``, ``title``, ``frames_per_second``,
        ``progress`` and the style of a map.

        Examples
        --------
        >>> import aqreanalysis as aqr, tempfile
        >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
        >>> product = obs.aqnet.reanalyse("pm25", grid=0.5, method="idw")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     product.aqnet.animate(f"{folder}/hours.gif", progress=False).name
        'hours.gif'
        """
        from aqreanalysis.maps import animate

        return animate(self._dataset, path, **options)

    def plot_series(
        self, place: Any = None, variable: str | None = None, **options: Any
    ) -> "Figure":
        """Draw the series of a station or a place with its 90 % interval.

        Options are those of `aqreanalysis.figures.plot_series`: ``observations``, ``time``,
        ``start``, ``local_time``, ``title``, ``axes``.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
        >>> obs.aqnet.plot_series("S01").axes[0].get_title(loc="left")
        'S01 (Town 1)'
        """
        from aqreanalysis.figures import plot_series

        return plot_series(self._dataset, place, variable, **options)

    def plot_cycle(self, cycle: str = "day", place: Any = None, **options: Any) -> "Figure":
        """Draw the mean and the middle half by hour of the day, day of the week or month.

        Options are those of `aqreanalysis.figures.plot_cycle`: ``variable``, ``time``,
        ``local_time``, ``axes``.
        """
        from aqreanalysis.figures import plot_cycle

        return plot_cycle(self._dataset, cycle, place, **options)  # type: ignore[arg-type]

    def plot_calendar(self, place: Any = None, **options: Any) -> "Figure":
        """Draw the mean of each day as a calendar.

        Options are those of `aqreanalysis.figures.plot_calendar`: ``variable``, ``time``,
        ``local_time``, ``axes``, ``limits``, ``levels``, ``cmap``.
        """
        from aqreanalysis.figures import plot_calendar

        return plot_calendar(self._dataset, place, **options)

    def plot_rose(self, place: Any = None, variable: str | None = None, **options: Any) -> "Figure":
        """Draw from where the wind comes, and how polluted it is.

        Options are those of `aqreanalysis.figures.plot_rose`: ``time``, ``axes``.
        """
        from aqreanalysis.figures import plot_rose

        return plot_rose(self._dataset, place, variable, **options)
