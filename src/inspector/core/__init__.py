"""Values in, values out: no clock, path, environment, logging or randomness."""
