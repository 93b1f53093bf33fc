"""``dataset.aqnet``: what can be done with observations and with products, each one call."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aqreanalysis.methods import Method
    from aqreanalysis.methods.neural.reanalyser import Reanalyser
    from aqreanalysis.predictive import Statistic
    from aqreanalysis.verification import Design


@xr.register_dataset_accessor("aqnet")
class AqnetAccessor:
    """What can be done with observations ``(station, time)`` and with products.

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
        """The stations as a network: neighbours, distances, folds."""
        return StationNetwork.from_dataset(self._dataset)

    def validate(self) -> None:
        """Return nothing if the observations are valid; raise one error with all faults if not.

        Raises
        ------
        ObservationError
            With every fault: dimensions, positions, time axis, units, values.
        """
        from aqreanalysis.observations import validate

        validate(self._dataset)

    def flag(self, variable: str | None = None) -> xr.Dataset:
        """Return the observations with ``<variable>_flag``: range, flat lines, spikes, neighbours.

        Nothing is deleted; see `aqreanalysis.observations.quality.mask`.
        """
        from aqreanalysis.observations import default_variable
        from aqreanalysis.observations.quality import flag

        return flag(self._dataset, variable or default_variable(self._dataset))

    def fit(
        self,
        variable: str | None = None,
        *,
        seed: int = 0,
        progress: bool = True,
        background: xr.DataArray | xr.Dataset | None = None,
        **settings: Any,
    ) -> "Reanalyser":
        """Return a neural kNN trained on the observations.

        Parameters
        ----------
        variable : str, optional
            Pollutant; pm25 if it is there, else the only one.
        seed : int
            The same seed gives the same model on the same machine.
        progress : bool
            Whether a progress bar is shown.
        background : DataArray or Dataset, optional
            Fields known everywhere; the departures of the stations from them are learned.
        **settings
            ``configuration``, ``schedule`` and ``checkpoint`` of `aqreanalysis.Reanalyser`.
        """
        from aqreanalysis.methods.neural.reanalyser import Reanalyser
        from aqreanalysis.observations import default_variable

        model = Reanalyser(seed=seed, progress=progress, **settings)
        variable = variable or default_variable(self._dataset)
        return model.fit(self._dataset, variable, background=background)

    def reanalyse(
        self,
        variable: str | None = None,
        *,
        grid: "Grid | float | None" = None,
        region: tuple[float, float, float, float] | None = None,
        at: xr.Dataset | None = None,
        method: "str | Method" = "neural",
        time: slice | None = None,
        chunks: Mapping[str, int] | None = None,
        seed: int = 0,
        progress: bool = True,
        creator: str | None = None,
        background: xr.DataArray | xr.Dataset | None = None,
        statistic: "Statistic" = "median",
        quantiles: Sequence[float] = (),
        memory: str | float | None = None,
    ) -> xr.Dataset:
        """Return complete fields on a grid, or series at given stations, as a lazy CF product.

        Parameters
        ----------
        variable : str, optional
            Pollutant; pm25 if it is there, else the only one.
        grid : Grid or float, optional
            A grid, or the size of a cell in degrees; by default from the stations' spacing.
        region : tuple of float, optional
            West, east, south, north in degrees; by default the stations' extent and a margin.
        at : Dataset, optional
            Stations to estimate instead of a grid: longitude and latitude on ``station``.
        method : {"neural", "kriging", "space_time_kriging", "idw"} or Method
            A name is fitted on the spot; a fitted model is used as it is.
        time : slice of labels, optional
            Hours to give, UTC; all by default.
        chunks : mapping, optional
            Size of a block of the lazy result; the numbers do not depend on it.
        seed, progress
            Of the training.
        creator : str, optional
            Written into the product.
        background : DataArray or Dataset, optional
            Fields known everywhere, such as that of a chemistry model or elevation, on any grid.
        statistic : {"median", "mean"}
            What the estimate is.
        quantiles : sequence of float, optional
            Probabilities, such as 0.05, of each of which a layer ``<variable>_q05`` is added.
        memory : str or number, optional
            What the work may take, such as ``"2GB"``; half of what is free by default.

        Returns
        -------
        Dataset
            The variable, ``<variable>_uncertainty`` (one standard error), ``<variable>_flag`` and
            ``distance_to_nearest_station``.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        ValueError
            If the request does not fit: method, region, period, too few stations.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
        >>> product = obs.aqnet.reanalyse(grid=0.5, method="kriging")
        >>> product.pm25.dims, product.pm25.attrs["units"]
        (('time', 'lat', 'lon'), 'ug m-3')
        """
        from aqreanalysis.reanalysis import reanalyse

        return reanalyse(
            self._dataset,
            variable,
            grid=grid,
            region=region,
            at=at,
            method=method,
            time=time,
            chunks=chunks,
            seed=seed,
            progress=progress,
            creator=creator,
            background=background,
            statistic=statistic,
            quantiles=quantiles,
            memory=memory,
        )

    def fill(
        self,
        variable: str | None = None,
        *,
        method: "Reanalyser | None" = None,
        seed: int = 0,
        progress: bool = True,
    ) -> xr.Dataset:
        """Return the observations with gaps filled, an uncertainty, and where values come from.

        What was measured stays as it is. ``<variable>_origin`` is 0 measured, 1 estimated, 2 no
        estimate; ``<variable>_uncertainty`` is the standard error of what was estimated.

        Parameters
        ----------
        variable : str, optional
            Pollutant; pm25 if it is there, else the only one.
        method : Reanalyser, optional
            A fitted model; by default a covariance is learned, which takes seconds.
        seed, progress
            Of the learning.

        Raises
        ------
        ObservationError, ValueError
            As `aqreanalysis.filling.fill`.
        """
        from aqreanalysis.filling import fill

        return fill(self._dataset, variable, method=method, seed=seed, progress=progress)

    def outlook(
        self, horizon: int | float | str = "7D", variable: str | None = None, **options: Any
    ) -> xr.Dataset:
        """Return the next days at the stations, at other places or on a grid, as a CF product.

        Parameters
        ----------
        horizon : number of hours or str
            How far ahead.
        variable : str, optional
            Pollutant; pm25 if it is there, else the only one.
        **options
            Of `aqreanalysis.outlook.outlook`: ``start``, one in the past for a hindcast or several
            for a set, ``grid`` or ``at``, ``method``, ``statistic``, ``quantiles``, ``attention``,
            ``seed``.

        Raises
        ------
        ObservationError, ValueError
            As there.

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
        methods: "Sequence[str | Method] | None" = None,
        by: "Design" = "station",
        folds: int = 5,
        buffer_km: float | None = None,
        time: slice | None = None,
        statistic: "Statistic" = "median",
        events: Sequence[float] | None = None,
        seed: int = 0,
        progress: bool = True,
        report: str | os.PathLike[str] | None = None,
    ) -> xr.Dataset:
        """Return how good methods are at hidden stations, as sums of `verification.statistics`.

        `aqreanalysis.verification.metrics` makes scores of the sums, in all and by distance,
        level, hour, month and station; ``intervals`` and ``differences`` tell what is certain.

        Parameters
        ----------
        variable : str, optional
            Pollutant; pm25 if it is there, else the only one.
        methods : sequence of {"neural", "kriging", "space_time_kriging", "idw"} or Method
            Each is fitted anew in each fold.
        by : {"station", "block", "month", "leave_one_out"}
            What is hidden together, see `aqreanalysis.verification.cross_validate`.
        folds : int
            Number of folds.
        buffer_km : float, optional
            Stations this near to a hidden one are not known either.
        time : slice of labels, optional
            Hours to score, in UTC unless a label states its zone; all by default.
        statistic : {"median", "mean"}
            What the estimates are.
        events : sequence of float, optional
            Thresholds of events, ug m-3; by default those of the pollutant.
        seed : int
            Of folds and training.
        progress : bool
            Whether a progress bar is shown.
        report : path, optional
            HTML file to write with tables, maps and curves.

        Raises
        ------
        ObservationError, ValueError
            As `aqreanalysis.verification.cross_validate`.

        Examples
        --------
        >>> import aqreanalysis as aqr
        >>> from aqreanalysis.verification import metrics
        >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
        >>> summed = obs.aqnet.verify(methods=["kriging", "idw"], folds=3, progress=False)
        >>> scores = metrics(summed)
        >>> bool(scores.rmse.sel(estimator="kriging") < scores.rmse.sel(estimator="idw"))
        True
        """
        from aqreanalysis.methods import METHODS
        from aqreanalysis.verification import check_events, cross_validate, statistics

        if events is not None:
            check_events(events)
        if report is not None:
            from aqreanalysis.report import check_report_target, write_report

            check_report_target(report)
        pairs = cross_validate(
            self._dataset,
            variable,
            methods=list(METHODS) if methods is None else methods,
            by=by,
            folds=folds,
            buffer_km=buffer_km,
            time=time,
            statistic=statistic,
            seed=seed,
            progress=progress,
        )
        summed = statistics(pairs, events=events)
        if report is not None:
            write_report(pairs, report, statistics=summed)
        return summed

    def to_netcdf(
        self, path: str | os.PathLike[str], *, progress: bool = True, **options: Any
    ) -> Path:
        """Return the path of the CF NetCDF file that now holds this product.

        The file appears when it is complete. Options are those of
        `aqreanalysis.product.write_netcdf`: ``overwrite``, ``compress``,
        ``significant_digits``, ``dimension_order``, ``resume``.
        """
        from aqreanalysis.product import write_netcdf

        return write_netcdf(self._dataset, path, progress=progress, **options)

    def to_zarr(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Return the path of the Zarr store that now holds this product, written in parallel.

        Options are those of `aqreanalysis.product.write_zarr`: ``overwrite``,
        ``significant_digits``.
        """
        from aqreanalysis.product import write_zarr

        return write_zarr(self._dataset, path, **options)

    def to_table(self, path: str | os.PathLike[str]) -> Path:
        """Return the path of a table of these observations: .csv, .csv.gz, .parquet or .gpkg."""
        from aqreanalysis.observations import write_table

        return write_table(self._dataset, path)

    def map(
        self,
        variable: str | None = None,
        *,
        time: Any = None,
        observations: xr.Dataset | None = None,
        hidden: Any = None,
        **options: Any,
    ) -> "Figure":
        """Return a map of a product, or of the observations themselves, as a matplotlib Figure.

        Parameters
        ----------
        variable : str, optional
            By default the product's own, or pm25 of observations.
        time : str or slice, optional
            An hour, a day or a period, UTC; a period is averaged.
        observations : Dataset, optional
            Stations to draw over a product.
        hidden : Dataset or sequence of str, optional
            Stations that the product has not seen, drawn with a mark of their own.
        **options
            Of `aqreanalysis.maps.map_field` and `map_stations`: ``region``, ``limits``,
            ``what="uncertainty"``, ``title``, ``axes``.
        """
        from aqreanalysis.maps import map_field, map_stations

        if "station" in self._dataset.dims:
            from aqreanalysis.observations import default_variable

            chosen = variable or default_variable(self._dataset)
            if options.pop("what", "value") == "uncertainty":
                chosen = f"{chosen}_uncertainty"
            return map_stations(self._dataset, chosen, time=time, hidden=hidden, **options)
        return map_field(
            self._dataset,
            variable=variable,
            time=time,
            observations=observations,
            hidden=hidden,
            **options,
        )
