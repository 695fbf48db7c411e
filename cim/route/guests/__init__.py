"""What guests and upstream's HTTP calls do."""
