"""`python -m cim.admin`, the same as `cim-admin`."""

from cim.admin.tap import main

main()
