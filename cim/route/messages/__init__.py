"""Messages: rights, appending, delivery, reading, receipts, groups."""
