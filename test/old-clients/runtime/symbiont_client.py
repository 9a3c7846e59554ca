"""A stand-in for the published Python client of the runtime API, v0.3.0, and the manners of v0.3.1, from the contract.

Standard library only. One fresh connection for each call; ids go into paths unescaped and are then treated as that
client's HTTP library does; every successful answer is read as JSON, whatever the call.
"""

import gzip
import http.client
import json
import os
import re
import socket
import time
import urllib.parse
import zlib

import symbiont_models as m

MAX_REDIRECTS = 30
HANG_GUARD_SECONDS = 60


class SymbiontError(Exception):
    def __init__(self, message, status_code=None):
        super().__init__(message)
        self.status_code = status_code


class _Answered(SymbiontError):
    def __init__(self, message, status_code=None, response_text=None):
        super().__init__(message, status_code)
        self.response_text = response_text


class APIError(_Answered):
    pass


class AuthenticationError(_Answered):
    pass


class AuthenticationExpiredError(AuthenticationError):
    pass


class NotFoundError(_Answered):
    pass


class RateLimitError(_Answered):
    pass


class ConfigurationError(SymbiontError):
    pass


class _RaisedWrongly(TypeError):
    """Later versions give their exceptions arguments that these do not take."""


UNRESERVED = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
SAFE = "!#$%&'()*+,/:;=?@[]~"


def without_dot_segments(path):
    kept = []
    for segment in path.split("/"):
        if segment == ".":
            continue
        if segment != "..":
            kept.append(segment)
        elif len(kept) > 1:
            kept.pop()
    if path.endswith(("/.", "/..")):
        kept.append("")
    return "/".join(kept)


def unquote_unreserved(text):
    def one(match):
        char = chr(int(match.group(1), 16))
        return char if char in UNRESERVED else match.group(0)

    return re.sub(r"%([0-9A-Fa-f]{2})", one, text)


def target_of(url):
    """Host, port and the request target, as the HTTP library makes them of what the client put together."""
    url = url.split("#", 1)[0]
    scheme, rest = url.split("://", 1)
    place, slash, tail = rest.partition("/")
    path, question, query = (slash + tail).partition("?")
    path = without_dot_segments(path or "/")
    target = urllib.parse.quote(unquote_unreserved(path), safe=SAFE)
    if question:
        target += "?" + urllib.parse.quote(unquote_unreserved(query), safe=SAFE)
    host, _, port = place.partition(":")
    return scheme, host, int(port or 80), target


class Answer:
    def __init__(self, status, headers, body):
        self.status_code = status
        self.headers = headers
        self.text = body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.text)


OPERATIONS = {}


def operation(method):
    """Marks what goes over the network, so that nobody has to list it by hand."""
    OPERATIONS[method.__name__] = method
    return method


class Client:
    def __init__(self, api_key=None, base_url=None):
        self.api_key = api_key or os.environ.get("SYMBIONT_API_KEY") or None
        base = base_url or os.environ.get("SYMBIONT_BASE_URL") or "http://localhost:8080/api/v1"
        self.base_url = base.rstrip("/")
        self.attempts = []

    # The network

    def _send(self, method, url, body, timeout):
        for _ in range(MAX_REDIRECTS):
            _, host, port, target = target_of(url)
            headers = {
                "User-Agent": "python-requests/2.32.3",
                "Accept-Encoding": "gzip, deflate",
                "Accept": "*/*",
                "Connection": "keep-alive",
            }
            if body is not None:
                headers["Content-Length"] = str(len(body))
                headers["Content-Type"] = "application/json"
            elif method != "GET":
                headers["Content-Length"] = "0"
            if self.api_key:
                headers["Authorization"] = "Bearer " + self.api_key
            began = time.monotonic()
            told = {"method": method, "target": target}
            self.attempts.append(told)
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
            try:
                connection.putrequest(method, target, skip_accept_encoding=True)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                reply = connection.getresponse()
                raw = reply.read()
            finally:
                connection.close()
                told["ms"] = round((time.monotonic() - began) * 1000)
            coding = (reply.getheader("Content-Encoding") or "").lower()
            if coding == "gzip":
                raw = gzip.decompress(raw)
            elif coding == "deflate":
                raw = zlib.decompress(raw)
            told["status"] = reply.status
            told["headers"] = {name.lower(): value for name, value in reply.getheaders()}
            told["text"] = raw.decode("utf-8", "replace")
            location = reply.getheader("Location")
            if location is None or reply.status not in (301, 302, 303, 307, 308):
                return Answer(reply.status, reply.headers, raw)
            url = urllib.parse.urljoin(url, location)
            if reply.status in (301, 302, 303) and method == "POST":
                method, body = "GET", None
        raise OSError("too many redirects")

    def _attempt(self, method, url, body):
        # This version knows no timeout; the guard is for the test alone.
        return self._send(method, url, body, HANG_GUARD_SECONDS)

    def _request(self, method, endpoint, body=None, params=None):
        url = self.base_url + "/" + endpoint.lstrip("/")
        if params:
            url += "?" + urllib.parse.urlencode(params)
        encoded = None if body is None else json.dumps(body, allow_nan=False).encode("ascii")
        answer = self._attempt(method, url, encoded)
        if 200 <= answer.status_code < 300:
            return answer.json()
        raise self._error(answer.status_code, answer.text)

    def _error(self, status, body):
        if status == 401:
            return AuthenticationError("Authentication failed - check your API key", status, body)
        if status == 404:
            return NotFoundError("Resource not found", status, body)
        if status == 429:
            return RateLimitError("Rate limit exceeded - too many requests", status, body)
        return APIError("API request failed with status %d" % status, status, body)

    def _one(self, kind, answer):
        if not isinstance(answer, dict):
            raise TypeError("argument after ** must be a mapping")
        return kind(answer, "answer")

    def _list(self, kind, answer):
        if not isinstance(answer, list):
            raise TypeError("the answer is not a list")
        return [self._one(kind, one) for one in answer]

    def _object(self, answer):
        if not isinstance(answer, dict):
            raise TypeError("the answer is not an object")
        return answer

    # System

    @operation
    def health_check(self):
        return self._one(m.HEALTH, self._request("GET", "health"))

    @operation
    def get_metrics(self):
        return self._one(m.SYSTEM_METRICS, self._request("GET", "metrics"))

    @operation
    def get_agent_metrics(self, agent_id):
        return self._one(m.AGENT_METRICS, self._request("GET", "agents/%s/metrics" % agent_id))

    # Agents and workflows

    @operation
    def list_agents(self):
        return m.many(m.text)(self._request("GET", "agents"), "answer")

    @operation
    def get_agent_status(self, agent_id):
        return self._one(m.AGENT_STATUS, self._request("GET", "agents/%s" % agent_id))

    @operation
    def create_agent(self, agent):
        return self._object(self._request("POST", "agents", m.dump(m.AGENT, agent)))

    @operation
    def execute_workflow(self, request):
        return self._object(self._request("POST", "workflows", m.dump(m.WORKFLOW_REQUEST, request)))

    # Tool review

    @operation
    def submit_tool_for_review(self, request):
        body = m.dump(m.REVIEW_CREATE, request)
        return self._one(m.REVIEW_CREATED, self._request("POST", "tool-review/sessions", body))

    @operation
    def get_review_session(self, review_id):
        return self._one(m.REVIEW_SESSION, self._request("GET", "tool-review/sessions/%s" % review_id))

    @operation
    def list_review_sessions(self, page=1, limit=20, status=None, author=None):
        params = {"page": page, "limit": limit}
        if status:
            params["status"] = status
        if author:
            params["author"] = author
        return self._one(m.REVIEW_LIST, self._request("GET", "tool-review/sessions", params=params))

    @operation
    def get_analysis_results(self, analysis_id):
        return self._one(m.ANALYSIS, self._request("GET", "tool-review/analysis/%s" % analysis_id))

    @operation
    def submit_human_review_decision(self, review_id, decision):
        path = "tool-review/sessions/%s/decisions" % review_id
        return self._object(self._request("POST", path, m.dump(m.DECISION, decision)))

    @operation
    def sign_approved_tool(self, request):
        body = m.dump(m.SIGNING_REQUEST, request)
        return self._one(m.SIGNING_RESULT, self._request("POST", "tool-review/sign", body))

    @operation
    def get_signed_tool(self, review_id):
        return self._one(m.SIGNED_TOOL, self._request("GET", "tool-review/signed/%s" % review_id))

    def wait_for_review_completion(self, review_id, timeout=300, interval=5):
        """`interval` is not the published client's to choose; tests do not have its five seconds."""
        ends_at = time.monotonic() + timeout
        while True:
            session = self.get_review_session(review_id)
            if session["status"] in ("approved", "rejected", "signed"):
                return session
            if time.monotonic() >= ends_at:
                raise TimeoutError("the review was not completed within %s seconds" % timeout)
            time.sleep(interval)

    # Secrets

    @operation
    def configure_secret_backend(self, config):
        return self._object(self._request("POST", "secrets/config", m.dump(m.BACKEND_CONFIG, config)))

    @operation
    def store_secret(self, request):
        return self._one(m.SECRET_INFO, self._request("POST", "secrets", m.dump(m.SECRET_REQUEST, request)))

    @operation
    def get_secret(self, agent_id, secret_name):
        return self._request("GET", "secrets/%s/%s" % (agent_id, secret_name))["value"]

    @operation
    def list_secrets(self, agent_id):
        return self._one(m.SECRET_LIST, self._request("GET", "secrets/%s" % agent_id))

    @operation
    def delete_secret(self, agent_id, secret_name):
        return self._object(self._request("DELETE", "secrets/%s/%s" % (agent_id, secret_name)))

    # MCP servers

    @operation
    def add_mcp_server(self, config):
        return self._object(self._request("POST", "mcp/servers", m.dump(m.MCP_CONFIG, config)))

    @operation
    def list_mcp_servers(self):
        return self._list(m.MCP_CONNECTION, self._request("GET", "mcp/servers"))

    @operation
    def get_mcp_server(self, name):
        return self._one(m.MCP_CONNECTION, self._request("GET", "mcp/servers/%s" % name))

    @operation
    def connect_mcp_server(self, name):
        return self._object(self._request("POST", "mcp/servers/%s/connect" % name))

    @operation
    def disconnect_mcp_server(self, name):
        return self._object(self._request("POST", "mcp/servers/%s/disconnect" % name))

    @operation
    def list_mcp_tools(self, server_name=None):
        params = {"server": server_name} if server_name else None
        return self._list(m.MCP_TOOL, self._request("GET", "mcp/tools", params=params))

    @operation
    def list_mcp_resources(self, server_name=None):
        params = {"server": server_name} if server_name else None
        return self._list(m.MCP_RESOURCE, self._request("GET", "mcp/resources", params=params))

    # Knowledge

    @operation
    def add_knowledge_item(self, item):
        # Its timestamp is a date by then, which its JSON writer does not know.
        raise TypeError("Object of type datetime is not JSON serializable")

    @operation
    def search_knowledge(self, request):
        body = m.dump(m.SEARCH_REQUEST, request)
        return self._one(m.SEARCH_RESPONSE, self._request("POST", "knowledge/search", body))

    @operation
    def get_context(self, query):
        return self._one(m.CONTEXT_RESPONSE, self._request("POST", "rag/context", m.dump(m.CONTEXT_QUERY, query)))

    @operation
    def delete_knowledge_item(self, item_id):
        return self._object(self._request("DELETE", "knowledge/%s" % item_id))

    # The agent language and deployments

    @operation
    def compile_dsl(self, request):
        return self._one(m.COMPILE_RESPONSE, self._request("POST", "dsl/compile", m.dump(m.COMPILE_REQUEST, request)))

    @operation
    def deploy_agent(self, request):
        return self._one(m.DEPLOYMENT, self._request("POST", "agents/deploy", m.dump(m.DEPLOY_REQUEST, request)))

    @operation
    def get_agent_deployment(self, deployment_id):
        return self._one(m.DEPLOYMENT, self._request("GET", "agents/deployments/%s" % deployment_id))

    @operation
    def list_agent_deployments(self, agent_id=None):
        params = {"agent_id": agent_id} if agent_id else None
        return self._list(m.DEPLOYMENT, self._request("GET", "agents/deployments", params=params))

    @operation
    def stop_agent_deployment(self, deployment_id):
        return self._object(self._request("POST", "agents/deployments/%s/stop" % deployment_id))

    # HTTP inputs

    @operation
    def create_http_input_server(self, request):
        body = m.dump(m.HTTP_INPUT_CREATE, request)
        return self._one(m.HTTP_INPUT_INFO, self._request("POST", "http-input/servers", body))

    @operation
    def list_http_input_servers(self):
        return self._list(m.HTTP_INPUT_INFO, self._request("GET", "http-input/servers"))

    @operation
    def get_http_input_server(self, server_id):
        return self._one(m.HTTP_INPUT_INFO, self._request("GET", "http-input/servers/%s" % server_id))

    @operation
    def update_http_input_server(self, request):
        body = m.dump(m.HTTP_INPUT_UPDATE, request)
        path = "http-input/servers/%s" % request["server_id"]
        return self._one(m.HTTP_INPUT_INFO, self._request("PUT", path, body))

    @operation
    def start_http_input_server(self, server_id):
        return self._object(self._request("POST", "http-input/servers/%s/start" % server_id))

    @operation
    def stop_http_input_server(self, server_id):
        return self._object(self._request("POST", "http-input/servers/%s/stop" % server_id))

    @operation
    def delete_http_input_server(self, server_id):
        return self._object(self._request("DELETE", "http-input/servers/%s" % server_id))

    @operation
    def trigger_webhook(self, request):
        body = m.dump(m.TRIGGER_REQUEST, request)
        path = "http-input/servers/%s/trigger" % request["server_id"]
        return self._one(m.TRIGGER_RESPONSE, self._request("POST", path, body))

    @operation
    def get_http_input_metrics(self, server_id):
        return self._object(self._request("GET", "http-input/servers/%s/metrics" % server_id))


class LaterClient(Client):
    """v0.3.1: a timeout, repetitions after transport errors whatever the method, and exceptions that cannot be made."""

    def __init__(self, config=None, api_key=None, base_url=None):
        if config is None and not os.environ.get("SYMBIONT_AUTH_JWT_SECRET_KEY"):
            raise ConfigurationError("a secret for tokens is required")
        super().__init__(api_key=api_key, base_url=base_url)
        settings = config or {}
        self.timeout = float(settings.get("timeout", os.environ.get("SYMBIONT_TIMEOUT") or 30))
        self.max_retries = int(settings.get("max_retries", os.environ.get("SYMBIONT_MAX_RETRIES") or 3))
        # Its pauses are 1, 2, 4 … seconds; tests have less time.
        self.pace = float(settings.get("pace", 1))
        self.slept = []

    def _attempt(self, method, url, body):
        for attempt in range(self.max_retries + 1):
            try:
                return self._send(method, url, body, self.timeout)
            except (OSError, http.client.HTTPException, socket.timeout):
                if attempt == self.max_retries:
                    raise _RaisedWrongly("missing 1 required positional argument")
                pause = 2**attempt
                self.slept.append(pause)
                time.sleep(pause * self.pace)

    def _error(self, status, body):
        if status == 401 and "expired" in body.lower():
            return AuthenticationExpiredError("Authentication token has expired", status, body)
        if status == 403:
            return _RaisedWrongly("got an unexpected keyword argument")
        return super()._error(status, body)
