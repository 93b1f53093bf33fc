"""Checks of what was read: numbers, units, positions, times, the regular axis, quality."""
