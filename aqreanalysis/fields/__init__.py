"""Fields: evaluated block by block over time and space, within memory, also on a cluster."""
