"""Labelled images in, model package out. Runs on a workstation; nothing of it ships to the device."""
