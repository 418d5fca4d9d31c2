"""The torture: the real component on the simulated host, faults injected, loss and duplicates counted."""
