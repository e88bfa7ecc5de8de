"""What the fork server imports once, so that a worker started in a dead one's place is there in an instant.

Nothing is computed here: torch's threads must not exist when the server forks. For the fork server alone.
"""

import contextlib
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would start with the import
with contextlib.suppress(Exception):  # a worker imports it again and reports what is wrong
    import convcli.backends.torch  # noqa: F401
