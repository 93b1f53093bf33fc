"""Methods: from the values of stations to a field, a room for each."""
