"""What people decide: labels, sets, and queues of findings."""
