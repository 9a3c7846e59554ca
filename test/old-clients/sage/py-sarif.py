"""Reports of the stand-in for the published Python SDK: findings on stdin, texts on stdout."""

import json
import sys

sys.dont_write_bytecode = True

from sage_runner import sarif  # noqa: E402

json.dump([json.dumps(sarif(**given), indent=2) for given in json.load(sys.stdin)], sys.stdout)
