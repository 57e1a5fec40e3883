"""The ``syntopy`` command: parse, call a service function, print."""
