"""Edge Inspector: inspects parts on a production line and accounts for every image."""

__version__ = "0.1.0"
