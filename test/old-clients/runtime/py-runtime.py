"""Drives the stand-in of the Python client: one JSON command per line, one JSON answer for each.

A command is `{"id", "call", "args"}`, with `"on"` for another client than the one that the environment makes:
`{"key"?, "base_url"?, "later"?}`. The answer is `{"id", "ok" | "raised", "attempts", "slept"}`.
"""

import json
import sys

sys.dont_write_bytecode = True

import symbiont_client as sdk


def client_of(on):
    if on.get("later"):
        return sdk.LaterClient(config=on.get("config"), api_key=on.get("key"), base_url=on.get("base_url"))
    client = sdk.Client(api_key=on.get("key"), base_url=on.get("base_url"))
    if on.get("anonymous"):
        client.api_key = None
    return client


def raised(error):
    return {
        "class": type(error).__name__.lstrip("_"),
        "bases": [base.__name__ for base in type(error).__mro__],
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "text": getattr(error, "response_text", None),
    }


def run(command):
    client = None
    out = {"id": command["id"]}
    try:
        if command["call"] == "operations":
            out["ok"] = sorted(sdk.OPERATIONS)
        else:
            client = client_of(command.get("on") or {})
            args = command.get("args") or []
            out["ok"] = getattr(client, command["call"])(*args, **(command.get("kwargs") or {}))
    except Exception as error:
        out["raised"] = raised(error)
    out["attempts"] = client.attempts if client else []
    out["slept"] = getattr(client, "slept", [])
    return out


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
