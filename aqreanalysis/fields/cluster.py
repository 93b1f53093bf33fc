"""What all blocks of a product share, held by the workers of a cluster."""

import sys

import xarray as xr

from aqreanalysis.conventions import ENGINE


def held_by_workers(layers: xr.Dataset) -> xr.Dataset:
    """Return the layers with the engine of their blocks on the active cluster, if there is one.

    Regions are computed one after the other, each with a graph of its own. The engine, with its
    weights and the stations' series, goes to the cluster once and not with every region; the
    scheduler can send it again where a worker dies.
    """
    if "distributed" not in sys.modules:
        return layers
    import dask
    from dask.delayed import Delayed
    from dask.distributed import default_client
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    try:
        default_client()
    except ValueError:  # there is none
        return layers
    graph = layers.__dask_graph__()
    if graph is None:
        return layers
    engines = {
        name: Delayed(name, HighLevelGraph({name: layer}, {name: set()}))
        for name, layer in graph.layers.items()
        if name.startswith(f"{ENGINE}-")
    }
    held = dask.persist(*engines.values())
    replaced = {engine.key: MaterializedLayer(dict(engine.dask)) for engine in held}
    rebuild, arguments = layers.__dask_postpersist__()
    return rebuild(HighLevelGraph({**graph.layers, **replaced}, graph.dependencies), *arguments)
