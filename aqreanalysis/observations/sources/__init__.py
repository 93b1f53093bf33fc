"""Sources of measurements: what their files look like, and the engine that reads them."""
