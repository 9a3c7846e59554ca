"""Drives the stand-in of the Python agent SDK: one JSON command per line, one JSON answer for each.

A command is `{"id", "call", "args": {…}, "env": {…}}`. Its environment replaces that of the call before, as a
process of its own would have it; what the client keeps between two calls lives under `"on"`. The answer is
`{"id", "ok" | "raised", "attempts", "slept", "events", "ms"}`.
"""

import json
import os
import sys
import threading
import time

sys.dont_write_bytecode = True

import sage_client as sdk
import sage_runner

KEPT = {}
BASE = dict(os.environ)
LOCK = threading.Lock()


def gateway(command):
    http = command.get("http") or {}
    name = command.get("on")
    if name is None:
        return sdk.SpiffeGatewayClient(**http)
    if name not in KEPT:
        KEPT[name] = sdk.SpiffeGatewayClient(**http)
    return KEPT[name]


def model(command, args):
    options = {name: args[name] for name in ("temperature", "max_tokens", "top_p", "seed") if name in args}
    bound = {name: args[name] for name in ("tools", "response_format") if name in args}
    return sdk.GatewayChatModel(gateway(command), sdk.ModelRef.parse(args["model"]), bound=bound, **options)


def chat(command, args):
    return model(command, args).invoke(args["messages"], args.get("stop"))


def stream(command, args):
    began = time.monotonic()
    pieces = []
    for piece in model(command, args).stream(args["messages"], args.get("stop")):
        pieces.append({"text": piece, "at_ms": round((time.monotonic() - began) * 1000)})
    return pieces


def structured(command, args):
    return model(command, args).structured(args["name"], args["schema"], args["messages"], args.get("include_raw", False))


def embeddings(command, args):
    options = {name: args[name] for name in ("model", "provider") if name in args}
    return sdk.GatewayEmbeddings(gateway(command), **options)


def trat(command, _args):
    token = gateway(command).trat.get_token()
    return {"exp": token.exp, "allowed_models": token.allowed_models, "raw": token.raw}


def trat_client(args):
    return sdk.TransactionTokenClient(args.get("file"), args.get("socket"), **args.get("http", {}))


def http(command, args):
    client = sdk.GatewayHttpClient(**args["client"])
    response = client.request(args["method"], args["path"], args.get("headers"), args.get("body"))
    return {"status": response.status, "headers": response.headers, "text": response.text}


def selected(_command, args):
    context = sage_runner.AgentContext.from_environment()
    return str(context.selector.select(args["category"]))


CALLS = {
    "chat": chat,
    "stream": stream,
    "structured": structured,
    "embed_documents": lambda command, args: embeddings(command, args).embed_documents(args["texts"]),
    "embed_query": lambda command, args: embeddings(command, args).embed_query(args["text"]),
    "health": lambda command, _args: gateway(command).health(),
    "svid": lambda command, _args: gateway(command).svid.get_token(),
    "trat": trat,
    "trat_ladder": lambda _command, args: trat_client(args).get_token().raw,
    "http": http,
    "select": selected,
    "parse": lambda _command, args: str(sdk.ModelRef.parse(args["text"])),
    "sarif": lambda _command, args: sage_runner.sarif(args["tool_name"], args["tool_version"], args["findings"]),
    "files": lambda _command, args: sage_runner.RepositoryInput(args["path"]).files(tuple(args.get("extensions", ()))),
}


def answer(command):
    for kept in (sdk.ATTEMPTS, sdk.SLEPT, sdk.EVENTS):
        kept.clear()
    os.environ.clear()
    os.environ.update({**BASE, **(command.get("env") or {})})
    began = time.monotonic()
    try:
        outcome = {"ok": CALLS[command["call"]](command, command.get("args") or {})}
    except Exception as error:  # noqa: BLE001 - the test wants to see all of them
        outcome = {"raised": {
            "class": type(error).__name__,
            "message": str(error),
            "exit_code": getattr(error, "exit_code", 1),
            "classified": isinstance(error, sdk.SageSanctumError),
        }}
    return {"id": command["id"], **outcome, "attempts": list(sdk.ATTEMPTS), "slept": list(sdk.SLEPT),
            "events": list(sdk.EVENTS), "ms": round((time.monotonic() - began) * 1000)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
