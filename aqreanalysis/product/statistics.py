"""What values are of their periods: as stated, or as another program made them of the hours."""

import itertools
import logging
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis.conventions import DRAW, POLLUTANTS, TIME, draws_name
from aqreanalysis.product.times import is_set
from aqreanalysis.product.variables import ProductError

logger = logging.getLogger(__name__)

#: Attribute of a layer: the hours over which its ``cell_methods`` hold. Other programs and xarray
#: keep it when they average or take maxima, so that it differs from the periods of time then.
AVERAGING = "averaging_hours"
#: What is still a concentration of the same name.
_CONCENTRATIONS = ("mean", "maximum", "minimum")
#: Ratio of lengths up to which months, or days of a time zone, are periods of one kind.
_ALIKE = 1.5
#: Operators of CDO that sum up time: over what, and how.
_CDO = re.compile(
    r"((?:year|seas)mon|y?(?:hour|day|mon|seas|year)|dhour|dminute|ydrun|tim|timsel|run)"
    r"(mean|avg|max|min|sum|std1?|var1?|range|pctl)"
)
#: What CDO sums up over the same hours, days or months of several days or years.
_CLIMATOLOGIES = {"dminute", "dhour", "yhour", "yday", "ydrun", "ymon", "yseas"}
#: Operators of CDO after which values are those of the same places and periods: they select, mask,
#: join, sort and describe.
_HARMLESS = re.compile(
    r"copy|cat|clone|szip|tee|apply|merge(grid|time)?|replace|pack|unpack|bitrounding|duplicate"
    r"|del(29feb|code|day|ete|gridcell|multi|name|param|var)|sel\w+|samplegrid|subgrid|thinout"
    r"|split\w+|distgrid|collgrid|mask(indexbox|lonlatbox|region)|(un)?setgridmask"
    r"|if(not)?then|ifthenelse|set([cr]tomiss|vrange|missval|attribute|unit|reftime|tunits|tbounds)"
    r"|(set|ch)(name|var|code|codetab|param|ltype|level|tabnum)|chunit|setzaxis|setgrid(type)?"
    r"|set(taxis|date|time|day|mon|year|calendar)|shifttime|invertl(at|on)|sort\w+"
    r"|remap(nn|laf)?|gen(nn|laf)"
)
#: Comparisons, and operators of CDO of which these are the first input: the cells that stay.
_COMPARISONS = re.compile(r"(eq|ne|[lg][et])c?|not|exprf?")
_MASKING = {"ifthen", "ifnotthen", "ifthenelse"}
#: Operators of CDO that weigh values of several cells, of which flags have no mean.
_WEIGHING = re.compile(
    r"remap(?!nn$|laf$)\w+|gen(?!nn$|laf$)\w+|interpolate|gridbox\w+|smooth9?|fillmiss2?"
    r"|setmisst(odis|onn)|intgrid\w*"
)
#: Options of NCO for weights between cells, and the program that makes them.
_WEIGHTS = re.compile(r"\bncremap\b|\s--(map|rgr)")
#: Programs of NCO for arithmetic and several files.
_PROGRAMS = (
    "ncbo",
    "ncdiff",
    "ncadd",
    "ncsub",
    "ncmultiply",
    "ncdivide",
    "ncflint",
    "nces",
    "ncea",
)
#: What an expression of ncap2 or CDO gives a new value, and expressions in a file of their own.
_ASSIGNED = re.compile(r"(?<![@\w])(\w+)\s*[-+*/^]?=(?!=)")
_SCRIPT = re.compile(r"\s-S\s|--script-file")
#: Options of CDO that take a word.
_CDO_OPTIONS = ("-f", "-b", "-g", "-t", "-m", "-k", "-P", "-z", "-i", "-N")
#: The option of NCO that says how.
_NCO_HOW = re.compile(r"(?:-y|--op_typ|--operation)[ =](\w+)")
_CF_METHODS = {
    **{"mean": "mean", "avg": "mean", "max": "maximum", "mabs": "maximum", "min": "minimum"},
    **{"mibs": "minimum", "sum": "sum", "ttl": "sum", "range": "range"},
    **{"std": "standard_deviation", "var": "variance", "pctl": "percentile"},
}
_OVER_TIME = re.compile(rf"\b{TIME}\s*:\s*(\w+)")
_SPANS = {
    **{"hour": "hourly", "day": "daily", "mon": "monthly", "seas": "seasonal", "year": "yearly"},
    **{"run": "running", "seasmon": "seasonal", "yearmon": "yearly"},
}
#: Hours of the periods that have a name.
_HOURS = {
    "hourly": (1, 1),
    "daily": (22, 26),
    "weekly": (167, 169),
    "monthly": (27.9 * 24, 31.1 * 24),
    "seasonal": (89 * 24, 93 * 24),
    "yearly": (364 * 24, 367 * 24),
}


class Operation(NamedTuple):
    """One operation over time: its CF method, and over what, such as "day"; "" if unknown."""

    method: str
    over: str = ""


def without_marks_of_joining(product: xr.Dataset) -> xr.Dataset:
    """Return the product of joined files without ``cell_methods`` that NCO wrote into it.

    The program ncrcat writes "time: mean" to the time, its bounds and every layer that has none, as
    if it had averaged them. Where periods adjoin, it has not.
    """
    time, bounds = product.variables.get(TIME), product.variables.get(f"{TIME}_bnds")
    if time is None or bounds is None or bounds.ndim != 2 or "cell_methods" not in time.attrs:
        return product
    adjoining = (bounds.values[1:, 0] == bounds.values[:-1, 1]).any()
    if not (adjoining or _only_joined(product.attrs.get("history", ""))):
        return product
    product = product.copy()
    for name, layer in product.variables.items():
        if name not in POLLUTANTS and "cell_methods" in layer.attrs:
            del product[name].attrs["cell_methods"]
    return product


def _only_joined(history: Any) -> bool:
    """Return whether NCO has joined files and averaged none."""
    programs = {program for program, *_ in _calls(history)}
    return "ncrcat" in programs and programs.isdisjoint({"ncra", "ncwa"})


def restate_statistics(product: xr.Dataset, *, by_nco: bool = False) -> xr.Dataset:
    """Return the product with what its values are of their periods.

    Of values that another program has made of those of the hours, ``cell_methods`` and
    ``long_name`` say how, as its history tells, and the layers that qualified the hours are left
    out: a mean of standard errors is not the error of the mean.

    Parameters
    ----------
    product : Dataset
        With the periods of its time restored.
    by_nco : bool
        Whether NCO has summed up its time, which then says so in ``cell_methods``.

    Raises
    ------
    ProductError
        If it is not known what was made of the hours, or that is no concentration.

    Examples
    --------
    >>> hours = np.array([["2024-01-01", "2024-01-02"]], "datetime64[ns]")
    >>> product = xr.Dataset(
    ...     {"pm25": ("time", [40.0], {"cell_methods": "time: mean", "averaging_hours": 1.0})},
    ...     {"time": hours[:, 0], "time_bnds": (("time", "bnds"), hours)},
    ...     {
    ...         "time_coverage_resolution": "PT1H",
    ...         "history": "Mon Jan 01 2024: cdo daymax hourly.nc daily.nc",
    ...     },
    ... )
    >>> restate_statistics(product).pm25.attrs["long_name"]
    'daily maximum of PM2.5 mass concentration'
    """
    if is_set(product):
        return product
    step, operations = _step_hours(product), operations_in(product.attrs.get("history", ""))
    before = _hours_before(product)
    marked = any(
        "cell_methods" in layer.attrs and TIME in layer.dims
        for name, layer in product.data_vars.items()
        if str(name).startswith(tuple(f"{pollutant}_" for pollutant in POLLUTANTS))
    )
    restated = product
    if operations and not before:
        # Of the measurements, not of the product that is being made of them.
        restated, operations = _said(product, "of values as they are stated", []), ()
    for name in [str(name) for name in product.data_vars if name in POLLUTANTS]:
        own = product[name].attrs.get(AVERAGING, before)
        changed = own is not None and not of_one_kind(float(own), step)
        if not (changed or operations or marked or by_nco):
            continue
        if step is None:
            raise ProductError(_lost_time(name, own))
        made = operations or (_of_nco(product[name]) if by_nco else ())
        if not made:
            raise ProductError(_unknown(product[name], own, step))
        restated = _described(restated, name, made, own, step)
        index = [str(layer) for layer in restated.data_vars if of_an_index(str(layer))]
        restated = restated.drop_vars(index)  # product.aqnet.index makes that of these values
    return _without_stale(restated, step)


def of_an_index(name: str) -> bool:
    """Return whether a layer is of an air-quality index, which is that of its own values alone.

    Examples
    --------
    >>> of_an_index("index_category"), of_an_index("pm25_index"), of_an_index("pm25")
    (True, True, False)
    """
    return name.partition("_")[0] == "index" or name.endswith(("_index", "_category"))


def operations_in(history: Any) -> tuple[Operation, ...]:
    """Return what CDO and NCO did over time since the package wrote a history, first things first.

    Both put their lines above those that are there.

    Examples
    --------
    >>> operations_in("Mon Jan 01 2024: cdo -s monmean -daymax hourly.nc monthly.nc")
    (Operation(method='maximum', over='day'), Operation(method='mean', over='mon'))
    >>> operations_in("Mon Jan 01 2024: ncra -O -y max p.nc m.nc")
    (Operation(method='maximum', over=''),)
    """
    operations: list[Operation] = []
    for program, *words in _calls(history):
        line = " ".join(words)
        if program == "cdo":
            matches = [match for word in _operators(words) if (match := _CDO.fullmatch(word))]
            operations += [
                Operation(_CF_METHODS[match[2].rstrip("1")], match[1]) for match in matches
            ]
        elif program == "ncra" or (program == "ncwa" and _over_time(line)):
            how = _NCO_HOW.search(line)
            word = how[1] if how else "mean"
            operations.append(Operation(_CF_METHODS.get(word, word)))
    return tuple(reversed(operations))


def _foreign_lines(history: Any) -> list[str]:
    """Return the lines that stand above those of the package."""
    lines = str(history).splitlines()
    return list(itertools.takewhile(lambda line: "aqreanalysis " not in line, lines))


def _calls(history: Any) -> list[list[str]]:
    """Return the words of each call since the package wrote a history, its program first."""
    calls = [line.split(": ", 1)[-1].split() for line in _foreign_lines(history)]
    return [[program.rpartition("/")[2], *words] for program, *words in filter(None, calls)]


def _operators(words: Sequence[str]) -> list[str]:
    """Return the operators of a call of CDO: the first word, and later ones behind a hyphen."""
    call = " ".join(words).replace("apply,", "apply ").split()
    operators: list[str] = []
    while call:
        word = call.pop(0).strip("[]")
        if word in _CDO_OPTIONS:
            del call[:1]
        elif re.match(r"-?[a-z]\w+", word) and (word[0] == "-" or not operators):
            operators.append(word.lstrip("-").split(",")[0])
    return operators


def weighed_cells(history: Any) -> bool:
    """Return whether CDO or NCO made values of several cells each, as a history tells.

    Examples
    --------
    >>> weighed_cells("Mon Jan 01 2024: cdo gridboxmean,2,2 a.nc b.nc")
    True
    """
    return any(
        _WEIGHTS.search(" ".join(call))
        or (call[0] == "cdo" and any(map(_WEIGHING.fullmatch, _operators(call[1:]))))
        for call in _calls(history)
    )


def refuse_other_values(product: xr.Dataset) -> None:
    """Refuse what another program has computed that is no estimate, such as a difference.

    Raises
    ------
    ProductError
        What it went through, and what can be done.

    Examples
    --------
    >>> line = "Mon Jan 01 2024: cdo sub a.nc b.nc c.nc"
    >>> attributes = {"time_coverage_resolution": "PT1H", "history": line}
    >>> refuse_other_values(xr.Dataset(attrs=attributes))
    Traceback (most recent call last):
        ...
    aqreanalysis.product.variables.ProductError: it went through cdo sub, so that its layers may ...
    """
    if not _hours_before(product):
        return
    history = product.attrs.get("history", "")
    for method, over in operations_in(history):
        if over in _CLIMATOLOGIES:
            raise _no_concentration("the product", f"{method} over {over}")
    for program, *words in _calls(history):
        made = []
        if program in _PROGRAMS or (program == "ncap2" and _assigns(words, product)):
            made = [program]
        elif program == "cdo":
            operators = _operators(words)
            if "shifttime" in operators:
                raise ProductError(
                    "its times were shifted (cdo shifttime), and times are in UTC. Shift them "
                    "back; days of another zone are those of product.aqnet.aggregate('day', "
                    "time_zone=...)"
                )
            made = [f"cdo {name}" for name in operators if _changes(name, operators)]
            if "aexpr" in operators and _assigns(words, product):
                made.append("cdo aexpr")
        if made:
            raise ProductError(
                f"it went through {' and '.join(made)}, so that its layers may not be what their "
                "names say, estimates of a place and period. Give them other names, as cdo "
                "chname,pm25,difference, and open the file with xarray; means over districts are "
                "those of product.aqnet.zones, and cells are masked by cdo ifthen"
            )


def _changes(operator: str, operators: Sequence[str]) -> bool:
    """Return whether an operator of CDO may leave values that are no estimates of their cells.

    Those that do not are known; of any other, as of those to come, nothing is.
    """
    masks = not _MASKING.isdisjoint(operators) and _COMPARISONS.fullmatch(operator)
    known = (_HARMLESS, _CDO, _WEIGHING)
    return not (masks or operator == "aexpr" or any(each.fullmatch(operator) for each in known))


def _assigns(words: Sequence[str], product: xr.Dataset) -> bool:
    """Return whether an expression gives a variable of the product other values, or may do so."""
    line = f" {' '.join(words)} "
    return bool(_SCRIPT.search(line)) or not set(_ASSIGNED.findall(line)).isdisjoint(
        map(str, product.variables)
    )


def _no_concentration(name: str, what: str) -> ProductError:
    """Return the error for values that a pollutant has in no period."""
    other = "pm25" if name == "the product" else name
    return ProductError(
        f"{name} went through a {what}, which is no concentration of a period. Take "
        f"another name, product.rename({other}=...), and write it with xarray."
    )


def _over_time(line: str) -> bool:
    """Return whether a line of ncwa averages over time: without dimensions, over all."""
    dimensions = re.search(r"(?:-a|--avg|--average)[ =]([\w,]+)", line)
    return dimensions is None or TIME in dimensions[1].split(",")


def _of_nco(layer: xr.DataArray) -> tuple[Operation, ...]:
    """Return the last method over time that a layer states, where NCO wrote no history."""
    methods = _OVER_TIME.findall(str(layer.attrs.get("cell_methods", "")))
    return tuple(Operation(method) for method in methods[-1:])


def _hours_before(product: xr.Dataset) -> float | None:
    """Return the hours that a value of a product was of when it was written, if it ever was."""
    stated = re.fullmatch(r"PT([\d.]+)H", str(product.attrs.get("time_coverage_resolution", "")))
    return float(stated[1]) if stated else None


def _step_hours(product: xr.Dataset) -> float | None:
    """Return the usual length of the periods, if there are any."""
    bounds = product.coords.get(f"{TIME}_bnds")
    if bounds is None or not bounds.size or TIME not in product.dims:
        return None
    begin, end = bounds.values.T
    return float(np.median((end - begin) / np.timedelta64(1, "h")))


def of_one_kind(own: float, step: float | None) -> bool:
    """Return whether two lengths of periods are those of one kind, such as months.

    Examples
    --------
    >>> of_one_kind(672.0, 744.0), of_one_kind(1.0, 24.0)
    (True, False)
    """
    return step is not None and 1 / _ALIKE < own / step < _ALIKE


def _lost_time(name: str, own: float | None) -> str:
    """Return the message for values over which time was summed up and dropped."""
    was = "hours" if own is None else f"periods of {own:g} h"
    return (
        f"{name} was of {was}, and time is gone: of which of them it is now, and whether their "
        f"mean or another value, is lost. Select hours as product.isel({TIME}=[5]); average with "
        f"product.aqnet.aggregate; of anything else state product = product.expand_dims({TIME}="
        f"[begin]) with {TIME}_bnds, and product.{name}.attrs: cell_methods, {AVERAGING}."
    )


def _unknown(layer: xr.DataArray, own: float | None, step: float) -> str:
    """Return the message for values of which it is not known what was made of the hours."""
    stated = layer.attrs.get("cell_methods", f"{TIME}: mean")
    was = "of hours" if own is None else f"over {own:g} h"
    return (
        f"{layer.name} says {stated!r} {was}, and its periods last {step:g} h now. State what was "
        f"done, of a file opened with xarray.open_dataset: product.{layer.name}.attrs.update("
        f"cell_methods='{TIME}: mean {TIME}: maximum', {AVERAGING}={step:g}), say, and a "
        "long_name, and go on with aqreanalysis.product.restore_metadata; for means, "
        "product.aqnet.aggregate gives "
        "their error too."
    )


def _described(
    product: xr.Dataset, name: str, made: Sequence[Operation], own: float | None, step: float
) -> xr.Dataset:
    """Return the product with a pollutant described as what was made of its hours."""
    for method, over in made:
        if method not in _CONCENTRATIONS or over in _CLIMATOLOGIES:
            what = f"{method.replace('_', ' ')} over {over or f'{step:g} h'}"
            raise _no_concentration(name, what)
    attributes = dict(product[name].attrs)
    attributes |= {
        "cell_methods": _cell_methods(attributes, made, own),
        "long_name": _long_name(attributes, name, made, step),
        AVERAGING: step,
    }
    attributes.pop("statistic", None)
    dropped = [str(layer) for layer in product.data_vars if str(layer).startswith(f"{name}_")]
    restated = product.drop_vars(dropped)
    layer = restated[name].variable.copy(deep=False)  # keeps lazy values lazy
    layer.attrs = attributes
    restated[name] = layer
    return _said(restated, f"{name} is the {attributes['long_name']}", dropped)


def _cell_methods(attributes: dict[Any, Any], made: Sequence[Operation], own: float | None) -> str:
    """Return the methods over time, in their order; means of means are means."""
    text = str(attributes.get("cell_methods") or f"{TIME}: mean")
    methods = [operation.method for operation in made]
    stated = _OVER_TIME.findall(text)
    if len(stated) > 1 and stated[-len(methods) :] == methods:
        return text  # NCO adds them itself
    hours = "" if own is None else f" (interval: {own:g} {'hour' if own == 1 else 'hours'})"
    for method in methods:
        if method != "mean" or stated[-1:] != ["mean"]:
            text += f" {TIME}: {method}{hours}"
            hours = ""
        stated.append(method)
    return text


def _long_name(
    attributes: dict[Any, Any], name: str, made: Sequence[Operation], step: float
) -> str:
    """Return the long name of what was made, such as "monthly mean of daily maximum of ..."."""
    plain = POLLUTANTS[name].long_name
    stated = str(attributes.get("long_name", plain))
    text = stated if stated.endswith(f" of {plain}") else plain
    named = next((word for word, (low, high) in _HOURS.items() if low <= step <= high), "")
    for number, (method, over) in enumerate(made, start=1):
        last = number == len(made)
        span = named if last and over != "run" else _SPANS.get(over, "")
        kind = f"{span} {method}" if span else method
        kind += f" over {step:g} h" if last and span in ("", "running") else ""
        means = method == "mean" and re.match(rf"(\w+ )?mean( over [\w.]+ h)? of {plain}$", text)
        text = f"{kind} of {plain if means else text}"
    return text


def without_lost_draws(product: xr.Dataset) -> xr.Dataset:
    """Return the product without layers that were made of its draws and are called draws.

    A single draw still has its number.

    Examples
    --------
    >>> made = xr.Dataset({"pm25": ("time", [4.0]), "pm25_draws": ("time", [9.0])})
    >>> list(without_lost_draws(made)), list(without_lost_draws(made.assign_coords(draw=1)))
    (['pm25'], ['pm25', 'pm25_draws'])
    """
    if DRAW in product.variables:
        return product
    for name in map(draws_name, POLLUTANTS):
        if name in product.data_vars:
            what = f"{name} has lost its draws and is left out"
            logger.warning("%s: give what was made of them another name", what)
            product = with_line(product.drop_vars(name), what)
    return product


def _without_stale(product: xr.Dataset, step: float | None) -> xr.Dataset:
    """Return the product without layers that qualify values of other periods than it has."""
    stale = [
        str(name)
        for name, layer in product.data_vars.items()
        if AVERAGING in layer.attrs
        and name not in POLLUTANTS
        and not of_one_kind(float(layer.attrs[AVERAGING]), step)
    ]
    return _said(product.drop_vars(stale), "other periods", stale) if stale else product


def _said(product: xr.Dataset, what: str, dropped: list[str]) -> xr.Dataset:
    """Return the product with what was found in its history, above what programs wrote."""
    listed = ", ".join(dropped)
    left = f"; {listed} qualified the hours and are left out" if dropped else ""
    if dropped:
        logger.warning(
            "%s%s: the error of a mean follows from product.aqnet.aggregate alone", what, left
        )
    return with_line(product, f"{what}{left}")


def with_line(product: xr.Dataset, text: str) -> xr.Dataset:
    """Return the product with a line above its history.

    Examples
    --------
    >>> with_line(xr.Dataset(attrs={"history": "earlier"}), "joined").history.splitlines()[1]
    'earlier'
    """
    line = f"aqreanalysis {version('aqreanalysis')}: {text}"
    return product.assign_attrs(history=f"{line}\n{product.attrs.get('history', '')}".strip())
