"""The probes, one a module. What makes a module here a probe is its ``PROBE``, a value of ``Probe``."""
