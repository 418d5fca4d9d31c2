"""Edge Inspector: inspects parts on a production line and accounts for every image."""

import os

__version__ = "0.1.0"

# Official builds of ONNX Runtime report to their maker, and write an identifier into the home directory, unless this
# is set before they are imported. What a factory inspects is nobody else's business.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
