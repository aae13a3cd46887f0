"""The documents for those who send messages: pages that need no script, no key and no other host."""
