"""A stand-in for a client of the original action queue, for tests only: written from what its documentation and
code promise. One request per connection, one line each way.

Run as `python3 py-actions.py SOCKET`; requests come as JSON lines on stdin, answers leave as JSON lines.
"""

import json
import socket
import sys


def ask(path, request):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        # It reads one line and hangs up: there never was a second one.
        with connection.makefile("r", encoding="utf-8") as lines:
            return json.loads(lines.readline())


for line in sys.stdin:
    print(json.dumps(ask(sys.argv[1], json.loads(line))), flush=True)
