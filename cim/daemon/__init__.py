"""What every CIM process is built on."""
