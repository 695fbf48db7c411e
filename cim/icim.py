"""What programs written for the first release import: see `cim.interfaces`."""

from cim.interfaces import *  # noqa: F403
