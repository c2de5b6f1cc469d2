"""What people run: the command line, the webhook receiver, reports and investigations."""
