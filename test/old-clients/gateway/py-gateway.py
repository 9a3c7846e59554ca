"""A stand-in for the published Python client of the gateway, for tests only.

The package could not be installed where these tests were written, so this file is NOT that client: it is
written from the wire contract alone. Where the client is known to misbehave (raw exceptions for odd error
bodies, everything retried, a zone-less expiry, nothing signed), it misbehaves here too: the gateway has to
live with it.

Standard library only. Reads one JSON command per line, `{"id", "on", "call", "args", "kwargs"}`, and answers
each with one line, `{"id", "ok" | "raised", "attempts", "notices", "ms"}`, in the order in which they finish.
"""

import asyncio
import base64
import concurrent.futures
import contextvars
import dataclasses
import datetime
import functools
import gzip
import hashlib
import http.client
import json
import random
import select
import socket
import string
import sys
import threading
import time
import urllib.parse
import uuid
import zlib

# What one call did on the wire, told with its result; the client itself never looks at it.
_attempts = contextvars.ContextVar("attempts", default=None)
_notices = contextvars.ContextVar("notices", default=None)


# ---- errors --------------------------------------------------------------------------------------

class GatewayError(Exception):
    def __init__(self, message, status_code=None, code=None):
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.code = code


class GatewayAuthError(GatewayError):
    def __init__(self, message, status_code=401):
        super().__init__(message, status_code, "AUTH_ERROR")


class GatewayPolicyError(GatewayError):
    def __init__(self, message, status_code=400):
        super().__init__(message, status_code, "POLICY_ERROR")


class GatewayRateLimitError(GatewayError):
    def __init__(self, message, retry_after=None):
        super().__init__(message, 429, "RATE_LIMIT_ERROR")
        self.retry_after = retry_after


class GatewayUpstreamError(GatewayError):
    def __init__(self, message, status_code=502):
        super().__init__(message, status_code, "UPSTREAM_ERROR")


class GatewayNetworkError(GatewayError):
    """Exported, and never raised."""


class GatewayTokenError(GatewayError):
    def __init__(self, message):
        super().__init__(message, None, "TOKEN_ERROR")


def create_error_from_response(response):
    """Raises what a foreign body makes it raise; the caller retries that like a failure of the network."""
    data = response.json()
    message = data.get("error", "Unknown error")
    status = response.status_code
    if status in (401, 403):
        return GatewayAuthError(message, status)
    if status == 429:
        retry_after = response.headers.get("retry-after")
        return GatewayRateLimitError(message, int(retry_after) if retry_after else None)
    if status == 400 and ("policy" in message.lower() or "scope" in message.lower()):
        return GatewayPolicyError(message, status)
    if status in (502, 503, 504):
        return GatewayUpstreamError(message, status)
    return GatewayError(message, status)


# ---- ids -----------------------------------------------------------------------------------------

_BASE36 = string.ascii_lowercase + string.digits


def generate_correlation_id():
    tail = "".join(random.choice(_BASE36) for _ in range(9))
    return f"req_{int(time.time() * 1000)}_{tail}"


def extract_correlation_id(headers):
    return headers.get("x-correlation-id")


def generate_idempotency_key():
    return f"idemp_{int(time.time() * 1000)}_{uuid.uuid4()}"


def generate_idempotency_key_from_data(tool, action, params):
    text = json.dumps({"tool": tool, "action": action, "params": params}, sort_keys=True)
    return "idemp_" + hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


# ---- retries -------------------------------------------------------------------------------------

def is_retryable_error(error):
    if isinstance(error, GatewayError):
        return error.code == "NETWORK_ERROR" or (error.status_code or 0) >= 500
    return True  # whatever a strange body raised


def calculate_delay(attempt):
    delay = min(1.0 * 2**attempt, 10.0)
    return delay + delay * 0.25 * (random.random() - 0.5)


async def with_retry(operation, max_retries=3):
    attempt = 0
    while True:
        try:
            return await operation()
        except Exception as error:  # noqa: BLE001 - the client retries them all
            if attempt >= max_retries or not is_retryable_error(error):
                raise
            await asyncio.sleep(calculate_delay(attempt))
            attempt += 1


# ---- HTTP, as the client's library does it -----------------------------------------------------------

class TransportError(Exception):
    """Refused, reset, timed out, a scheme nobody speaks."""


class Response:
    def __init__(self, status_code, headers, body):
        self.status_code = status_code
        self.headers = headers
        self._body = body

    @property
    def is_success(self):
        return 200 <= self.status_code < 300

    def json(self):
        return json.loads(self._body)


class Transport:
    """A small keep-alive pool without redirects. The time-out bounds each connect, read and write."""

    KEEPALIVE_SECONDS = 5.0

    def __init__(self, timeout):
        self._timeout = timeout
        self._idle = {}
        self._lock = threading.Lock()
        self._executor = concurrent.futures.ThreadPoolExecutor(max_workers=128)

    async def request(self, method, url, headers, body):
        context = contextvars.copy_context()
        run = functools.partial(context.run, self._send, method, url, headers, body)
        return await asyncio.get_running_loop().run_in_executor(self._executor, run)

    def _send(self, method, url, headers, body):
        attempt = {
            "method": method,
            "path": urllib.parse.urlsplit(url).path,
            "correlation_id": headers["X-Correlation-Id"],
            "at_ms": time.monotonic() * 1000,
        }
        trace = _attempts.get()
        if trace is not None:
            trace.append(attempt)
        try:
            response = self._exchange(method, url, headers, body)
        except (OSError, http.client.HTTPException, zlib.error, EOFError) as error:
            attempt["failed"] = type(error).__name__
            raise TransportError(str(error) or type(error).__name__) from error
        except TransportError as error:
            attempt["failed"] = str(error)
            raise
        attempt["status"] = response.status_code
        attempt["headers"] = response.headers
        return response

    def _exchange(self, method, url, headers, body):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise TransportError(f"Request URL has an unsupported protocol '{parts.scheme}://'.")
        key = (parts.scheme, parts.hostname, parts.port)
        connection = self._take(key)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.putrequest(method, target or "/", skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", parts.netloc)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            answered = {name.lower(): value for name, value in answer.getheaders()}
            data = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.setdefault(key, []).append((connection, time.monotonic()))
        encoding = answered.get("content-encoding", "identity")
        if encoding == "gzip":
            data = gzip.decompress(data)
        elif encoding == "deflate":
            data = zlib.decompress(data)
        return Response(answer.status, answered, data)

    def _take(self, key):
        with self._lock:
            idle = self._idle.get(key, [])
            while idle:
                connection, since = idle.pop()
                old = time.monotonic() - since > self.KEEPALIVE_SECONDS
                # Readable while idle: the peer has closed it.
                if not old and not select.select([connection.sock], [], [], 0)[0]:
                    return connection
                connection.close()
        scheme, host, port = key
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        connection = kind(host, port, timeout=self._timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self):
        with self._lock:
            for idle in self._idle.values():
                for connection, _ in idle:
                    connection.close()
            self._idle.clear()
        self._executor.shutdown(wait=False)


# ---- models --------------------------------------------------------------------------------------

class ValidationError(ValueError):
    """What the model library raises; deliberately no GatewayError."""


def _field(data, name, accepts, required=True):
    if name not in data:
        if required:
            raise ValidationError(f"{name}: Field required")
        return None
    value = data[name]
    if not accepts(value):
        raise ValidationError(f"{name}: Input is of the wrong type")
    return value


def _strings(value):
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@dataclasses.dataclass
class TokenOptions:
    tools: list
    permissions: list
    ttl_minutes: float

    def __post_init__(self):
        fields = dataclasses.asdict(self)
        _field(fields, "tools", _strings)
        _field(fields, "permissions", _strings)


@dataclasses.dataclass
class JobResponse:
    job_id: object
    status: str
    result: object
    error: object

    @classmethod
    def parse(cls, data):
        statuses = ("queued", "running", "done", "failed")
        optional_text = lambda value: value is None or isinstance(value, str)  # noqa: E731
        return cls(
            job_id=_field(data, "job_id", optional_text, required=False),
            status=_field(data, "status", lambda value: value in statuses),
            result=data.get("result"),
            error=_field(data, "error", optional_text, required=False),
        )


def proxy_data(envelope):
    if not isinstance(envelope, dict):
        raise ValidationError("Input should be a mapping")
    _field(envelope, "success", lambda value: isinstance(value, bool))
    data = _field(envelope, "data", lambda _: True)
    _field(envelope, "metadata", lambda value: isinstance(value, dict))
    return data


# ---- the client ----------------------------------------------------------------------------------

class GatewayClient:
    def __init__(self, base_url, agent_id, agent_private_key_pem, default_intent=None, timeout_ms=6000):
        self.base_url = base_url.rstrip("/")
        self.agent_id = agent_id
        self.agent_private_key_pem = agent_private_key_pem  # kept, and never read again
        self.intent = default_intent
        self._transport = Transport(timeout_ms / 1000)
        self._now = datetime.datetime.now
        # Library versions differ: before 0.28 spaces and \u escapes, since then neither.
        self._compact_json = True

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_exc):
        await self.close()

    async def close(self):
        self._transport.close()

    def set_intent(self, intent):
        self.intent = intent

    async def get_token(self, opts):
        # Local wall-clock time without a zone; isoformat() leaves the fraction out when it is zero.
        expires_at = (self._now() + datetime.timedelta(minutes=opts.ttl_minutes)).isoformat()
        body = {
            "agent_id": self.agent_id,
            "tools": opts.tools,
            "permissions": opts.permissions,
            "expires_at": expires_at,
        }
        response = await self._request("POST", "/api/generate-token", body)
        return response.json()["agent_token"]

    async def proxy(self, tool, action, params, agent_token=None, proof_payload_override=None):
        token = agent_token or await self._mint_for(tool)
        self._check_token_age(token)
        body = self._proxy_body(tool, action, params, token)
        if proof_payload_override is not None:
            body["proof_payload"] = json.dumps(proof_payload_override)
        response = await self._request("POST", "/api/proxy-request", body)
        if response.headers.get("x-token-rotation-recommended") == "true":
            self._notify("Token rotation recommended")
        return proxy_data(response.json())

    async def proxy_async(self, tool, action, params, agent_token=None):
        token = agent_token or await self._mint_for(tool)
        body = {**self._proxy_body(tool, action, params, token), "async": True}
        response = await self._request("POST", "/api/proxy-request", body)
        return {"job_id": response.json()["job_id"]}

    async def get_job(self, job_id):
        response = await self._request("GET", f"/api/jobs/{job_id}", None)
        return JobResponse.parse(response.json())

    def _mint_for(self, tool):
        """One for every call: nothing is cached."""
        return self.get_token(TokenOptions(tools=[tool], permissions=["read", "write"], ttl_minutes=10))

    def _proxy_body(self, tool, action, params, token):
        body = {"agent_token": token, "tool": tool, "action": action, "params": params}
        if self.intent:
            body["intent"] = self.intent
        return body

    @staticmethod
    def _check_token_age(token):
        try:
            issued_at = json.loads(base64.b64decode(token.split(".")[1]))["iat"]
            age = time.time() - issued_at
        except Exception:  # noqa: BLE001 - undecodable counts as new
            age = 0
        if age > 24 * 60 * 60:
            raise GatewayTokenError("Token is older than 24 hours")

    @staticmethod
    def _notify(text):
        print(text, file=sys.stderr)
        notices = _notices.get()
        if notices is not None:
            notices.append(text)

    async def _request(self, method, path, body):
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate",
            "Connection": "keep-alive",
            "User-Agent": "runrgateway/1.0.0",
            "Content-Type": "application/json",
            "X-Correlation-Id": generate_correlation_id(),  # one for all attempts
        }
        content = None if body is None else self._serialise(body)

        async def once():
            try:
                response = await self._transport.request(method, self.base_url + path, headers, content)
            except TransportError as error:
                raise GatewayError(f"Network error: {error}", None, "NETWORK_ERROR") from error
            if not response.is_success:
                raise create_error_from_response(response)
            return response

        return await with_retry(once)

    def _serialise(self, body):
        if self._compact_json:
            return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        return json.dumps(body).encode("utf-8")


# ---- the line protocol -----------------------------------------------------------------------------

FUNCTIONS = {
    "generate_correlation_id": generate_correlation_id,
    "generate_idempotency_key": generate_idempotency_key,
    "generate_idempotency_key_from_data": generate_idempotency_key_from_data,
}


def describe(error):
    return {
        "class": type(error).__name__,
        "bases": [base.__name__ for base in type(error).__mro__[1:]],
        "gateway": isinstance(error, GatewayError),
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "retry_after": getattr(error, "retry_after", None),
    }


class Driver:
    def __init__(self):
        self._clients = {}

    async def answer(self, command):
        attempts, notices = [], []
        _attempts.set(attempts)
        _notices.set(notices)
        started = time.monotonic() * 1000
        answer = {"id": command["id"]}
        try:
            answer["ok"] = await self._run(command)
        except Exception as error:  # noqa: BLE001 - a foreign exception is a finding, not a crash
            answer["raised"] = describe(error)
        for attempt in attempts:
            attempt["at_ms"] -= started
        answer.update(attempts=attempts, notices=notices, ms=time.monotonic() * 1000 - started)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    async def _run(self, command):
        name, call = command.get("on"), command["call"]
        args, kwargs = command.get("args", []), command.get("kwargs", {})
        if call == "new":
            self._open(name, **kwargs)
            return None
        if name is None:
            return FUNCTIONS[call](*args)
        client = self._clients[name]
        if call == "within":  # the context manager, around one call
            async with client as entered:
                return await self._plain(entered, args[0], args[1:])
        return await self._plain(client, call, args)

    def _open(self, name, json_style="compact", microsecond=None, **options):
        client = GatewayClient(**options)
        client._compact_json = json_style == "compact"
        if microsecond is not None:
            client._now = lambda: datetime.datetime.now().replace(microsecond=microsecond)
        self._clients[name] = client

    @staticmethod
    async def _plain(client, call, args):
        if call == "get_token_with_dict":  # as the manual writes it
            return await client.get_token(*args)
        if call == "get_token":
            return await client.get_token(TokenOptions(**args[0]))
        result = getattr(client, call)(*args)
        if asyncio.iscoroutine(result):
            result = await result
        return dataclasses.asdict(result) if isinstance(result, JobResponse) else result


async def main():
    loop = asyncio.get_running_loop()
    lines = asyncio.Queue()

    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    driver, running = Driver(), set()
    while (line := await lines.get()) is not None:
        task = asyncio.ensure_future(driver.answer(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


if __name__ == "__main__":
    asyncio.run(main())
