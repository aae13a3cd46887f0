"""8x8 Voice API: what is sent, what comes back, what it means."""
