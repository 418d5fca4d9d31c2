"""What the two nuclei answer over IPC, as a table: one module for each service, rows as in ``case.Case``."""
