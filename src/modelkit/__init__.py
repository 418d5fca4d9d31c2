"""Labelled images in, model package out. Runs on a workstation; nothing of it ships to the device."""

import inspector  # noqa: F401  # first of all: it keeps ONNX Runtime from reporting to its maker
