"""What people decided and were told: the journal, the decisions and the suspension list."""
