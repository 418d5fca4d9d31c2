"""A simulated AWS IoT Greengrass v2 core device (classic profile), to run and test components without AWS."""
