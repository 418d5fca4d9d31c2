"""Where people look: the verdicts and the state of the inspectors, seen by a consumer of their messages.

The data's path: ``broker`` (MQTT) -> ``message`` (bytes to values) -> ``tally`` (rows, notices,
summary) -> ``view`` (a terminal); ``watch`` ties them together and ``expectation`` says when it is over.
"""
