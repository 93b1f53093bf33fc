"""Kriging: variograms and covariances, gaps in series, one hour or several, bands of the series."""
