"""`python -m workers --threads 1 QUEUE …`: one worker process."""

import gc

gc.disable()  # until it is wired: imports make hardly any garbage, and looking for it is a sixth of their time

from workers.main import main  # noqa: E402

main()
