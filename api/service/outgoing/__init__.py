"""What is sent to others: reports, webhooks."""
