"""What every process of ours is built on."""
