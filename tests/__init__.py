"""The tests of CIM."""

from hypothesis import HealthCheck, settings

# Examples that take long to make say that the machine is busy, not that a test is wrong.
settings.register_profile("cim", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cim")
