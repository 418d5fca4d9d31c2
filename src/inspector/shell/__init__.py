"""The adapters: each module is the only importer of its technology."""
