"""The commands of ``ringpost``, a file for each group; a command's own imports wait until it runs."""
