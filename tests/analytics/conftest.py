"""A real store in a folder of its own, and incidents to put into it."""

from tests.storage.conftest import data_dir, make_incident, store

__all__ = ["data_dir", "make_incident", "store"]
