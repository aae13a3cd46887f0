"""What ``ringpost dev`` adds to the service: its settings, a provider of its own, a receiver, and one call."""
