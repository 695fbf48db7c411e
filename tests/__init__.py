"""The tests of CIM."""

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:
    pass  # benchmarks run on `tests.harness` without what tests need
else:
    # Examples that take long to make say that the machine is busy, not that a test is wrong.
    settings.register_profile("cim", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("cim")
