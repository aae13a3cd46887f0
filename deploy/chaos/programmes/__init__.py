"""One module a drill; each plays on a stage that is already running."""
