"""Archives: years of files read once, in parallel, into a Zarr store that is used lazily."""
