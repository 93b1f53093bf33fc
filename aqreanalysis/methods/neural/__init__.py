"""The default method: kriging of bands with learned covariances, and a network beside it."""
