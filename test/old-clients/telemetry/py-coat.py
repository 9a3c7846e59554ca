"""A stand-in for the published Python telemetry SDK, for tests only.

That package could not be installed where these tests were written, so this file is NOT it: it is written from
what its documentation promises. Two functions, coat and tie; envelopes of aotp/0.1; in a pod, one connection
per envelope with that envelope as its only line and nobody waiting for an answer; otherwise, and whenever the
socket fails, lines on stderr after one warning. It numbers nothing and says no hello.

Standard library only. Run as `python3 py-coat.py SCRIPT`: SCRIPT sees coat, tie and Op.
"""

import asyncio
import contextvars
import datetime
import enum
import functools
import inspect
import json
import os
import secrets
import socket
import sys

KINDS = {
    "llm": ("agent.llm.request", "agent.llm.response"),
    "tool": ("agent.tool.call", "agent.tool.result"),
    "run": ("agent.run.start", "agent.run.end"),
    "step": ("agent.step.start", "agent.step.end"),
}


class Op(str, enum.Enum):
    LLM = "llm"
    TOOL = "tool"
    RUN = "run"
    STEP = "step"


def _id(prefix):
    # Shorter than a W3C id, as in the documentation's samples.
    return f"{prefix}_{secrets.token_hex(4)}"


SESSION = _id("sess")
_active = contextvars.ContextVar("active", default=None)
_warned = False


def _now():
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _send(envelope):
    global _warned
    line = json.dumps(envelope)
    path = os.environ.get("ENVPOD_SOCKET", "/run/envpod/queue.sock")
    if os.environ.get("ENVPOD_POD_ID"):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(2)
                connection.connect(path)
                connection.sendall(line.encode() + b"\n")
            return
        except OSError as error:
            if not _warned:
                _warned = True
                print(f"coat: {error}; falling back to stderr", file=sys.stderr)
    print(f"[coat] {line}", file=sys.stderr, flush=True)


def _emit(kind, span, payload):
    _send({
        "spec": "aotp/0.1",
        "kind": kind,
        "ts": _now(),
        "ids": {
            "session_id": SESSION,
            "run_id": span["run"],
            "step_id": "",
            "trace_id": span["trace"],
            "span_id": span["id"],
            "parent_span_id": span["parent"],
        },
        "subject": {
            "agent_id": os.environ.get("ENVPOD_AGENT_ID", ""),
            "agent_role": os.environ.get("ENVPOD_AGENT_ROLE", ""),
            "framework": "envpod-coat",
            "framework_version": "0.1.16",
        },
        "capture": {"mode": os.environ.get("ENVPOD_COAT_CAPTURE", "none")},
        "payload": payload,
    })


def _begin(op, fn):
    outer = _active.get()
    span = {
        "id": _id("sp"),
        "trace": outer["trace"] if outer else _id("tr"),
        "run": outer["run"] if outer else _id("run"),
        "parent": outer["id"] if outer else "",
    }
    payload = {"fn": fn, "op": op, "preview": {"args": [], "kwargs": {}}}
    if op == "tool":
        payload["tool"] = {"name": fn}
    _emit(KINDS[op][0], span, payload)
    return span


def _end(op, fn, span, error):
    payload = {"fn": fn, "op": op, "status": "error" if error else "ok", "duration_ms": 1.25}
    if op == "tool":
        payload["tool"] = {"name": fn}
    if error:
        payload["error"] = {"type": type(error).__name__}
    _emit(KINDS[op][1], span, payload)


def coat(op, auto_capture=False):
    op = str(op.value if isinstance(op, Op) else op)

    def wrap(fn):
        @functools.wraps(fn)
        async def in_async(*args, **kwargs):
            span = _begin(op, fn.__name__)
            token = _active.set(span)
            error = None
            try:
                return await fn(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                _active.reset(token)
                _end(op, fn.__name__, span, error)

        @functools.wraps(fn)
        def in_sync(*args, **kwargs):
            span = _begin(op, fn.__name__)
            token = _active.set(span)
            error = None
            try:
                return fn(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                _active.reset(token)
                _end(op, fn.__name__, span, error)

        return in_async if inspect.iscoroutinefunction(fn) else in_sync

    return wrap


def tie(name, data=None):
    span = _active.get() or {"id": "", "trace": "", "run": "", "parent": ""}
    inner = {**span, "id": _id("sp"), "parent": span["id"]} if span["id"] else span
    _emit("x.coat.tie", inner, {"name": name, "data": data})


if __name__ == "__main__":
    exec(sys.argv[1], {"coat": coat, "tie": tie, "Op": Op, "asyncio": asyncio})
