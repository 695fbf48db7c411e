"""CIM: a distributed instant-messaging and push system."""

__version__ = "0.2.0"
