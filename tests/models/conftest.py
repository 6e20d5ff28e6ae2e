from tests.probes.conftest import adapter

__all__ = ["adapter"]  # a fixture
