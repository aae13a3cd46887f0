"""What ingress and workers both know. Imports neither of them."""
