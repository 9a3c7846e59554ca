"""A stand-in for the published Python agent SDK, for tests only: its errors, its HTTP, its tokens, its models.

The package could not be installed where these tests were written, so this file is NOT that SDK: it is written
from the wire contract alone. Where the SDK is known to misbehave (it guesses where an answer ends, it takes a
cut stream for a finished one, raw exceptions escape it), it misbehaves here too: our servers have to live with
it. Standard library only, gateway mode only.
"""

import base64
import copy
import dataclasses
import json
import os
import random
import socket
import time

# What the client did on the wire, for the driver to tell; the client itself never looks at it.
ATTEMPTS = []
SLEPT = []
EVENTS = []


# ---- errors --------------------------------------------------------------------------------------

class SageSanctumError(Exception):
    exit_code = 1

    def __init__(self, message="", exit_code=None):
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


def _error(name, parent, code):
    made = type(name, (parent,), {"exit_code": code})
    globals()[name] = made
    return made


AuthError = _error("AuthError", SageSanctumError, 10)
SpiffeAuthError = _error("SpiffeAuthError", AuthError, 11)
TraTAcquisitionError = _error("TraTAcquisitionError", AuthError, 12)
TraTExpiredError = _error("TraTExpiredError", AuthError, 13)
ForbiddenError = _error("ForbiddenError", SageSanctumError, 20)
ModelNotAuthorizedError = _error("ModelNotAuthorizedError", ForbiddenError, 21)
GatewayError = _error("GatewayError", SageSanctumError, 30)
RateLimitError = _error("RateLimitError", GatewayError, 31)
GatewayUnavailableError = _error("GatewayUnavailableError", GatewayError, 32)
ValidationError = _error("ValidationError", SageSanctumError, 40)
InputValidationError = _error("InputValidationError", ValidationError, 41)
PathTraversalError = _error("PathTraversalError", ValidationError, 42)
ConfigurationError = _error("ConfigurationError", ValidationError, 43)
OutputError = _error("OutputError", SageSanctumError, 50)
OutputWriteError = _error("OutputWriteError", OutputError, 51)
ModelError = _error("ModelError", SageSanctumError, 60)
ModelNotAvailableError = _error("ModelNotAvailableError", ModelError, 61)
ModelRefParseError = _error("ModelRefParseError", ModelError, 62)


class ForeignValidationError(ValueError):
    """What the SDK's model library raises for a message that is no message. Not one of the SDK's own."""


# ---- HTTP ----------------------------------------------------------------------------------------

@dataclasses.dataclass
class Response:
    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.text)


class GatewayHttpClient:
    RETRYABLE = (429, 502, 503, 504)

    def __init__(self, socket_path=None, host=None, port=None, timeout=120.0, max_retries=3, retry_backoff=0.5):
        if socket_path is None and host is None:
            raise GatewayError("neither a socket nor a host")
        self.socket_path, self.host, self.port = socket_path, host, port
        self.timeout, self.max_retries, self.retry_backoff = timeout, max_retries, retry_backoff

    def _connect(self):
        try:
            if self.socket_path is not None:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                address = self.socket_path
            else:
                sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                address = (self.host, self.port)
            sock.settimeout(self.timeout)
            sock.connect(address)
            return sock
        except OSError as error:
            raise GatewayUnavailableError(f"cannot connect: {error}") from error

    @staticmethod
    def _bytes(method, path, headers, body):
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway.local"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        data = b""
        if body is not None:
            data = json.dumps(body).encode("ascii")
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data

    @staticmethod
    def _complete(buffer):
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = buffer[:end].lower()
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip() == b"content-length":
                return len(buffer) - end - 4 >= int(value)
        if b"transfer-encoding: chunked" in buffer.lower():
            return buffer.endswith(b"0\r\n\r\n")
        return True

    @staticmethod
    def _parse(buffer):
        end = buffer.find(b"\r\n\r\n")
        if not buffer:
            raise _Again("empty response")
        if end < 0:
            raise _Again("malformed response")
        head, body = buffer[:end].decode("latin-1"), buffer[end + 4:]
        try:
            status = int(head.split("\r\n")[0].split(" ")[1])
        except (IndexError, ValueError) as error:
            raise _Again("malformed response") from error
        headers = {}
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = _dechunk(body)
        if "content-length" in headers:
            body = body[:int(headers["content-length"])]
        return Response(status, headers, body)

    def _once(self, request):
        with self._connect() as sock:
            try:
                sock.sendall(request)
                buffer = b""
                while not self._complete(buffer):
                    block = sock.recv(65_536)
                    if not block:
                        break
                    buffer += block
            except socket.timeout as error:
                raise _Again("timed out") from error
            except OSError as error:
                raise GatewayError(f"request failed: {error}") from error
            response = self._parse(buffer)
            ATTEMPTS.append({"status": response.status, "headers": response.headers, "size": len(buffer),
                             "closed": _is_closed(sock)})
            return response

    def request(self, method, path, headers=None, body=None):
        request = self._bytes(method, path, headers, body)
        for attempt in range(self.max_retries + 1):
            last = attempt == self.max_retries
            try:
                response = self._once(request)
            except (GatewayUnavailableError, _Again) as error:
                if last:
                    raise
                self._sleep(self._backoff(attempt), error)
                continue
            if response.status not in self.RETRYABLE:
                return response
            if last:
                if response.status == 429:
                    raise RateLimitError(f"rate limited: {response.text}")
                return response
            self._sleep(self._delay(attempt, response), None)

    def _backoff(self, attempt):
        return self.retry_backoff * 2**attempt + random.random() * self.retry_backoff

    def _delay(self, attempt, response):
        if response.status == 429 and "retry-after" in response.headers:
            try:
                return float(response.headers["retry-after"])
            except ValueError:
                pass
        return self._backoff(attempt)

    @staticmethod
    def _sleep(delay, _error):
        SLEPT.append(delay)
        try:
            time.sleep(delay)
        except ValueError as error:
            raise GatewayError(f"request failed: {error}") from error

    def request_stream(self, method, path, headers=None, body=None):
        """Yields the text behind each `data: `, until `[DONE]` or until nothing comes any more."""
        sock = self._connect()
        try:
            sock.sendall(self._bytes(method, path, headers, body))
            buffer = b""
            while b"\r\n\r\n" not in buffer:
                block = sock.recv(65_536)
                if not block:
                    raise GatewayError("empty response")
                buffer += block
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            status = int(head.split(b" ")[1])
            if status != 200:
                while block := sock.recv(65_536):
                    buffer += block
                text = buffer.decode("utf-8", "replace")
                raise (RateLimitError if status == 429 else GatewayError)(f"status {status}: {text}")
            while True:
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    line = line.strip()
                    if not line.startswith(b"data: "):
                        continue
                    data = line[6:].decode("utf-8", "replace")
                    if data == "[DONE]":
                        return
                    yield data
                block = sock.recv(65_536)
                if not block:
                    return
                buffer += block
        except socket.timeout as error:
            raise GatewayError("timed out") from error
        except OSError as error:
            raise GatewayError(f"request failed: {error}") from error
        finally:
            sock.close()


class _Again(GatewayError):
    """Retried, and the gateway's fault in the end."""


_Again.__name__ = "GatewayError"  # nobody outside can tell the two apart


def _is_closed(sock):
    """Whether the server hung up after its answer; only looked at for the tests."""
    try:
        sock.settimeout(1.0)
        return sock.recv(1) == b""
    except OSError:
        return False


def _dechunk(body):
    out = b""
    while body:
        line, _, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0] or b"0", 16)
        if size == 0:
            break
        out += body[:size]
        body = body[size + 2:]
    return out


# ---- tokens --------------------------------------------------------------------------------------

def _payload(token):
    """The claims, and nobody's signature checked."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class JWTSource:
    MARGIN = 300

    def __init__(self, path):
        self.path, self._token, self._exp = path, None, 0

    def get_token(self):
        if self._token is not None and time.time() < self._exp - self.MARGIN:
            return self._token
        try:
            with open(self.path, encoding="utf-8") as file:
                token = file.read().strip()
        except OSError as error:
            raise SpiffeAuthError(f"cannot read {self.path}: {error}") from error
        if not token or len(token.split(".")) != 3:
            raise SpiffeAuthError("the SVID file holds no JWT")
        try:
            claims = _payload(token)
        except ValueError as error:
            raise SpiffeAuthError("the SVID cannot be decoded") from error
        if "exp" not in claims:
            raise SpiffeAuthError("the SVID has no exp")
        if time.time() >= claims["exp"]:
            raise SpiffeAuthError("the SVID has expired")
        EVENTS.append({"event": "spiffe_jwt_refreshed", "path": self.path, "exp": claims["exp"]})
        self._token, self._exp = token, claims["exp"]
        return token

    def invalidate(self):
        self._token = None


class TransactionToken:
    def __init__(self, raw):
        if len(raw.split(".")) != 3:
            raise TraTAcquisitionError("the TraT is no JWT")
        try:
            claims = _payload(raw)
        except ValueError as error:
            raise TraTAcquisitionError("the TraT cannot be decoded") from error
        if not claims.get("txn"):
            raise TraTAcquisitionError("the TraT has no txn")
        self.raw, self.exp = raw, claims.get("exp", 0)
        self.allowed_models = claims.get("tctx", {}).get("allowed_models", {})

    @property
    def is_expired(self):
        return time.time() >= self.exp


class TransactionTokenClient:
    def __init__(self, file=None, socket_path=None, **http):
        self.file, self.socket_path, self.http, self._token = file, socket_path, http, None

    def get_token(self):
        if self._token is not None and not self._token.is_expired:
            return self._token
        token = self._acquire()
        if token.is_expired:
            raise TraTExpiredError("the TraT has expired")
        self._token = token
        return token

    def _acquire(self):
        if self.file is None:
            if self.socket_path is None:
                raise TraTAcquisitionError("neither a file nor a socket")
            return self._ask()
        try:
            with open(self.file, encoding="utf-8") as file:
                raw = file.read().strip()
        except OSError as error:
            raise TraTAcquisitionError(f"cannot read {self.file}: {error}") from error
        if not raw:
            raise TraTAcquisitionError("the TraT file is empty")
        token = TransactionToken(raw)
        if not token.is_expired:
            return token
        if self.socket_path is None:
            raise TraTExpiredError("the TraT has expired")
        EVENTS.append({"event": "trat_expired_fallback", "exp": token.exp})
        return self._ask()

    def _ask(self):
        if not os.path.exists(self.socket_path):
            raise TraTAcquisitionError(f"there is no socket {self.socket_path}")
        try:
            response = GatewayHttpClient(socket_path=self.socket_path, **self.http).request("GET", "/trat")
        except GatewayError as error:
            raise TraTAcquisitionError(str(error)) from error
        if response.status != 200:
            raise TraTAcquisitionError(f"status {response.status}: {response.text}")
        return TransactionToken(response.text.strip())

    def invalidate(self):
        self._token = None


# ---- models --------------------------------------------------------------------------------------

CATEGORIES = ("triage", "analysis", "reasoning", "embeddings")
PREFIXES = (("claude", "anthropic"), ("anthropic/", "anthropic"), ("gemini", "google"), ("google/", "google"))


@dataclasses.dataclass(frozen=True)
class ModelRef:
    provider: str
    model: str

    @staticmethod
    def parse(text):
        text = text.strip()
        if not text:
            raise ModelRefParseError("empty model reference")
        if ":" in text:
            provider, _, model = text.partition(":")
            provider, model = provider.strip().lower(), model.strip()
            if not provider or not model:
                raise ModelRefParseError(f"bad model reference {text!r}")
            return ModelRef(provider, model)
        for prefix, provider in PREFIXES:
            if text.lower().startswith(prefix):
                return ModelRef(provider, text)
        return ModelRef("openai", text)

    def __str__(self):
        return f"{self.provider}:{self.model}"


class ModelSelector:
    def __init__(self, allowed):
        self.models = {name: [ModelRef.parse(ref) for ref in allowed.get(name, [])] for name in CATEGORIES}

    def select(self, category):
        if not self.models[category]:
            raise ModelNotAvailableError(f"no model for {category}")
        return self.models[category][0]


class StaticModelSelector:
    def __init__(self, ref):
        self.ref = ModelRef.parse(ref)

    def select(self, _category):
        return self.ref


# ---- the gateway -----------------------------------------------------------------------------------

FALLBACK = {
    "openai": ("OPENAI_BASE_URL", "http://gateway:8080/v1"),
    "anthropic": ("ANTHROPIC_BASE_URL", "http://gateway:8080/anthropic"),
    "google": ("GOOGLE_BASE_URL", "http://gateway:8080/google"),
}


def _env(name):
    return os.environ.get(name) or None


class SpiffeGatewayClient:
    def __init__(self, **http):
        path = _env("SPIFFE_JWT_PATH")
        if path is None:
            raise ConfigurationError("SPIFFE_JWT_PATH is not set")
        self.http = http
        self.svid = JWTSource(path)
        self.trat = TransactionTokenClient(_env("TRAT_FILE"), _env("AUTH_SIDECAR_SOCKET"), **http)

    def client(self, provider):
        path = _env("LLM_GATEWAY_SOCKET")
        if path is not None:
            return GatewayHttpClient(socket_path=path, **self.http)
        variable, default = FALLBACK.get(provider, FALLBACK["openai"])
        rest = (_env(variable) or default).partition("://")[2].partition("/")[0]
        host, _, port = rest.partition(":")
        return GatewayHttpClient(host=host or "localhost", port=int(port or 8080), **self.http)

    def headers(self, provider):
        return {
            "Authorization": f"Bearer {self.svid.get_token()}",
            "Txn-Token": self.trat.get_token().raw,
            "X-Provider": provider,
        }

    def health(self):
        try:
            return self.client("openai").request("GET", "/health").status == 200
        except Exception:  # noqa: BLE001 - whatever it was, it is not well
            return False


def _checked(response):
    if response.status != 200:
        raise GatewayError(f"gateway answered {response.status}: {response.text}")
    try:
        return response.json()
    except ValueError as error:
        raise GatewayError("invalid JSON") from error


def wire_message(message):
    """One message of the agent's framework, `{"type", "content", …}`, as the gateway gets it."""
    kind, content = message["type"], message["content"]
    if kind == "system":
        return {"role": "system", "content": content}
    if kind == "ai":
        out = {"role": "assistant", "content": content}
        if message.get("tool_calls"):
            out["tool_calls"] = [
                {"id": call["id"], "type": "function",
                 "function": {"name": call["name"], "arguments": json.dumps(call["args"])}}
                for call in message["tool_calls"]]
        return out
    if kind == "tool":
        return {"role": "tool", "tool_call_id": message["tool_call_id"], "content": content}
    return {"role": "user", "content": content}


class GatewayChatModel:
    def __init__(self, gateway, ref, temperature=0.0, max_tokens=None, top_p=None, seed=None, bound=None):
        self.gateway, self.ref, self.temperature = gateway, ref, temperature
        self.max_tokens, self.top_p, self.seed, self.bound = max_tokens, top_p, seed, bound or {}

    def _body(self, messages, stop, stream):
        body = {"model": self.ref.model, "messages": [wire_message(one) for one in messages],
                "temperature": self.temperature}
        for name in ("max_tokens", "top_p", "seed"):
            if getattr(self, name) is not None:
                body[name] = getattr(self, name)
        if stop:
            body["stop"] = stop
        for name in ("response_format", "tools"):
            if name in self.bound:
                body[name] = self.bound[name]
        if stream:
            body["stream"] = True
        return body

    def invoke(self, messages, stop=None):
        headers = self.gateway.headers(self.ref.provider)
        client = self.gateway.client(self.ref.provider)
        data = _checked(client.request("POST", "/v1/chat/completions", headers, self._body(messages, stop, False)))
        choices = data.get("choices")
        if not choices:
            raise GatewayError("no choices")
        message = choices[0]["message"]
        content = message.get("content", "")
        if not isinstance(content, (str, list)):
            raise ForeignValidationError("content must be text or parts")
        calls = [{"id": call["id"], "name": call["function"]["name"],
                  "args": json.loads(call["function"]["arguments"])}
                 for call in message.get("tool_calls") or []]
        usage = data.get("usage")
        counts = None
        if usage is not None:
            names = ("prompt_tokens", "completion_tokens", "total_tokens")
            counts = [usage.get(name, 0) for name in names]
            if not all(type(count) is int for count in counts):
                raise ForeignValidationError("usage must be integers")
            counts = dict(zip(("input_tokens", "output_tokens", "total_tokens"), counts))
        return {"content": content, "tool_calls": calls, "usage": counts, "model": data.get("model", str(self.ref))}

    def stream(self, messages, stop=None):
        headers = self.gateway.headers(self.ref.provider)
        client = self.gateway.client(self.ref.provider)
        body = self._body(messages, stop, True)
        surfaced = False
        for text in client.request_stream("POST", "/v1/chat/completions", headers, body):
            try:
                event = json.loads(text)
            except ValueError:
                continue
            choices = event.get("choices")
            if not choices:
                continue
            content = choices[0].get("delta", {}).get("content")  # a delta of null breaks it
            if content:
                surfaced = True
                yield content
        if not surfaced:
            raise ValueError("No generations found in stream.")

    def structured(self, name, schema, messages, include_raw=False):
        if self.ref.provider == "openai":
            bound = {"type": "json_schema",
                     "json_schema": {"name": name, "schema": normalised(schema), "strict": True}}
        else:
            bound = {"type": "json_object"}
        model = copy.copy(self)
        model.bound = {**self.bound, "response_format": bound}
        raw = model.invoke(messages)
        try:
            parsed, problem = _validated(schema, json.loads(raw["content"])), None
        except ValueError as error:
            if not include_raw:
                raise
            parsed, problem = None, str(error)
        return {"raw": raw, "parsed": parsed, "parsing_error": problem} if include_raw else parsed


def _validated(schema, value):
    """As much of a validation library as the tests' schemas need."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    if not isinstance(value, kinds.get(schema.get("type"), object)):
        raise ForeignValidationError(f"expected {schema.get('type')}")
    if schema.get("type") == "object":
        for name in schema.get("required", []):
            if name not in value:
                raise ForeignValidationError(f"{name} is missing")
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                _validated(inner, value[name])
    return value


def normalised(schema):
    """The strict form of a schema, known defects included: what an inlined definition refers to is lost."""
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}

    def strict(node):
        if "$ref" in node:
            return copy.deepcopy(definitions.get(node["$ref"].rpartition("/")[2], node))
        out = {name: value for name, value in node.items()
               if name not in ("title", "default", "$defs", "definitions")}
        if "properties" in out:
            out["properties"] = {name: strict(inner) for name, inner in out["properties"].items()}
        if out.get("type") == "object":
            out["additionalProperties"] = False
            out["required"] = list(out.get("properties", {}))
        if isinstance(out.get("items"), dict):
            out["items"] = strict(out["items"])
        for name in ("anyOf", "allOf", "oneOf"):
            if name in out:
                out[name] = [strict(inner) for inner in out[name]]
        return out

    definitions = {name: strict(inner) for name, inner in definitions.items()}
    return strict(schema)


class GatewayEmbeddings:
    def __init__(self, gateway, model="text-embedding-3-small", provider="openai"):
        self.gateway, self.model, self.provider = gateway, model, provider

    def _embed(self, texts):
        headers = self.gateway.headers(self.provider)
        client = self.gateway.client(self.provider)
        body = {"model": self.model, "input": texts}
        data = _checked(client.request("POST", "/v1/embeddings", headers, body))["data"]
        if len(data) != len(texts):
            raise GatewayError(f"{len(texts)} texts, {len(data)} embeddings")
        return data

    def embed_documents(self, texts):
        if not texts:
            return []
        return [row["embedding"] for row in sorted(self._embed(texts), key=lambda row: row["index"])]

    def embed_query(self, text):
        return self._embed([text])[0]["embedding"]
