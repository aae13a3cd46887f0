"""``python -m deploy.demo.receiver PORT``: the demo provider's callback receiver; its secret is in RECEIVER_SECRET."""

from __future__ import annotations

import os
import sys

from deploy.receiver import ANY_PATH, run
from shared import lifeline

if __name__ == "__main__":
    lifeline.watch_parent()
    run("127.0.0.1", int(sys.argv[1]), {ANY_PATH: [os.environ["RECEIVER_SECRET"]]})
