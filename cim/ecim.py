"""What programs written for the first release import: see `cim.errors`."""

from cim.errors import *  # noqa: F403
