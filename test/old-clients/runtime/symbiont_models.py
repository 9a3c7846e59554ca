"""What the published Python client demands of requests and answers, as tables: declared types, defaults, enums.

Values are checked as its model library checks them: a whole number may be written 5.0 or "5" but not 1.5, a list that
has a default may be absent but not null, text is never a number, and members that are not declared are ignored.
"""

import re

MISSING = object()


class ValidationError(ValueError):
    """What the model library raises in the caller's face."""


class Field:
    def __init__(self, kind, default=MISSING):
        self.kind = kind
        self.default = default


def text(value, at):
    if not isinstance(value, str):
        raise ValidationError("%s: expected text" % at)
    return value


def whole(value, at):
    if isinstance(value, bool):
        raise ValidationError("%s: expected a whole number" % at)
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[+-]?\d+(?:\.0+)?\s*", value):
            raise ValidationError("%s: expected a whole number" % at)
        value = float(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise ValidationError("%s: has a fraction" % at)
        return int(value)
    if not isinstance(value, int):
        raise ValidationError("%s: expected a whole number" % at)
    return value


def number(value, at):
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValidationError("%s: expected a number" % at)
    try:
        found = float(value)
    except ValueError:
        raise ValidationError("%s: expected a number" % at)
    if found != found or found in (float("inf"), float("-inf")):
        raise ValidationError("%s: is not finite" % at)
    return found


def fraction(value, at):
    found = number(value, at)
    if not 0 <= found <= 1:
        raise ValidationError("%s: must be from 0 to 1" % at)
    return found


def percent(value, at):
    found = whole(value, at)
    if not 0 <= found <= 100:
        raise ValidationError("%s: must be from 0 to 100" % at)
    return found


def boolean(value, at):
    if not isinstance(value, bool):
        raise ValidationError("%s: expected true or false" % at)
    return value


TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?")


def time(value, at):
    if isinstance(value, str) and TIME.fullmatch(value):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise ValidationError("%s: is no time" % at)


def record(value, at):
    if not isinstance(value, dict):
        raise ValidationError("%s: expected an object" % at)
    return value


def texts(value, at):
    for name, one in record(value, at).items():
        text(one, "%s.%s" % (at, name))
    return value


def enum(*words):
    def check(value, at):
        if value not in words or not isinstance(value, str):
            raise ValidationError("%s: %r is none of %s" % (at, value, ", ".join(words)))
        return value

    return check


def optional(kind):
    return lambda value, at: None if value is None else kind(value, at)


def many(kind):
    def check(value, at):
        if not isinstance(value, list):
            raise ValidationError("%s: expected a list" % at)
        return [kind(one, "%s.%d" % (at, index)) for index, one in enumerate(value)]

    return check


def model(fields, written=None):
    """`written`: the names under which members are written, where they differ from those they are read under."""

    def check(value, at):
        given = record(value, at)
        found = {}
        for name, field in fields.items():
            if name in given:
                found[name] = field.kind(given[name], "%s.%s" % (at, name))
            elif field.default is MISSING:
                raise ValidationError("%s.%s: field required" % (at, name))
            else:
                default = field.default
                found[name] = list(default) if isinstance(default, list) else dict(default) if isinstance(default, dict) else default
        return found

    check.fields = fields
    check.written = written or {}
    return check


def dump(kind, value):
    """A request as it is written: every declared member, by its own name, nulls included; the keys of inner models too."""
    checked = kind(value, "request")
    return written(kind, checked)


def written(kind, value):
    fields = getattr(kind, "fields", None)
    if fields is None or value is None:
        return value
    out = {}
    for name, inner in value.items():
        nested = getattr(fields[name].kind, "nested", fields[name].kind)
        if isinstance(inner, list):
            inner = [written(nested, one) if isinstance(one, dict) else one for one in inner]
        elif isinstance(inner, dict):
            inner = written(nested, inner)
        out[kind.written.get(name, name)] = inner
    return out


def opt(kind):
    check = optional(kind)
    check.nested = kind
    return Field(check, None)


def req(kind):
    return Field(kind)


def nested_many(kind, default=MISSING):
    check = many(kind)
    check.nested = kind
    return Field(check, default)


REVIEW_STATUS = enum(
    "submitted", "pending_analysis", "analyzing", "pending_review", "under_review", "approved", "rejected", "signed"
)
SOURCE_TYPE = enum("document", "code", "api_reference", "conversation")

AGENT = model(
    {
        "id": req(text),
        "name": req(text),
        "description": req(text),
        "system_prompt": req(text),
        "tools": req(many(text)),
        "model": req(text),
        "temperature": req(number),
        "top_p": req(number),
        "max_tokens": req(whole),
    }
)
HEALTH = model({"status": req(text), "uptime_seconds": req(whole), "timestamp": req(time), "version": req(text)})
SYSTEM_METRICS = model(
    {
        "uptime_seconds": req(whole),
        "memory_usage_bytes": req(whole),
        "memory_usage_percent": req(number),
        "cpu_usage_percent": req(number),
        "disk_usage_bytes": req(whole),
        "disk_usage_percent": req(number),
        "active_agents": req(whole),
        "total_agents": req(whole),
        "secrets_count": req(whole),
        "mcp_connections": req(whole),
        "vector_db_items": req(whole),
    }
)
AGENT_METRICS = model(
    {
        "agent_id": req(text),
        "tasks_completed": req(whole),
        "tasks_failed": req(whole),
        "average_response_time_ms": req(number),
        "memory_usage_bytes": req(whole),
        "cpu_usage_percent": req(number),
        "last_activity": req(time),
        "uptime_seconds": req(whole),
    }
)
AGENT_STATUS = model(
    {
        "agent_id": req(text),
        "state": req(enum("idle", "active", "busy", "error", "stopped")),
        "last_activity": req(time),
        "resource_usage": req(
            model({"memory_bytes": req(whole), "cpu_percent": req(number), "active_tasks": req(whole)})
        ),
    }
)
WORKFLOW_REQUEST = model({"workflow_id": req(text), "parameters": req(record), "agent_id": opt(text)})

PROVIDER = model({"name": req(text), "public_key_url": opt(text)})
SCHEMA = model(
    {"type": Field(text, "object"), "properties": req(record), "required": Field(many(text), [])}
)
# Written by the name of the member, read by its alias.
TOOL = model(
    {"name": req(text), "description": req(text), "schema": req(SCHEMA), "provider": req(PROVIDER)},
    {"schema": "tool_schema"},
)
REVIEW_CREATE = model({"tool": req(TOOL), "submitted_by": req(text), "priority": Field(text, "normal")})
REVIEW_CREATED = model(
    {"review_id": req(text), "status": req(REVIEW_STATUS), "submitted_at": req(time), "estimated_completion": opt(time)}
)
FINDING = model(
    {
        "finding_id": req(text),
        "severity": req(enum("low", "medium", "high", "critical")),
        "category": req(
            enum("schema_injection", "privilege_escalation", "data_exposure", "malicious_code", "resource_abuse")
        ),
        "title": req(text),
        "description": req(text),
        "confidence": req(fraction),
        "recommendation": opt(text),
    }
)
REVIEW_STATE = model(
    {
        "type": req(text),
        "analysis_id": opt(text),
        "analysis_completed_at": opt(time),
        "critical_findings": nested_many(FINDING, []),
        "human_reviewer_id": opt(text),
        "review_started_at": opt(time),
    }
)
REVIEW_SESSION = model(
    {
        "review_id": req(text),
        "tool": req(TOOL),
        "status": req(REVIEW_STATUS),
        "state": req(REVIEW_STATE),
        "submitted_by": req(text),
        "submitted_at": req(time),
        "estimated_completion": opt(time),
        "priority": req(text),
    }
)
REVIEW_LIST = model({"sessions": nested_many(REVIEW_SESSION), "pagination": req(record)})
ANALYSIS = model(
    {
        "analysis_id": req(text),
        "risk_score": req(percent),
        "findings": nested_many(FINDING),
        "recommendations": req(many(text)),
        "completed_at": req(time),
    }
)
DECISION = model({"decision": req(text), "comments": opt(text), "reviewer_id": req(text)})
SIGNING_REQUEST = model({"review_id": req(text), "signing_key_id": req(text)})
SIGNATURE = {
    "signature": req(text),
    "signed_at": req(time),
    "signer_id": req(text),
    "signature_algorithm": req(text),
}
SIGNING_RESULT = model(SIGNATURE)
SIGNED_TOOL = model({"tool": req(TOOL), **SIGNATURE, "review_id": req(text)})

VAULT_CONFIG = model(
    {
        "url": req(text),
        "auth_method": req(enum("token", "kubernetes", "aws_iam", "approle")),
        "token": opt(text),
        "role_id": opt(text),
        "secret_id": opt(text),
        "kubernetes_role": opt(text),
        "aws_role": opt(text),
    }
)
BACKEND_CONFIG = model(
    {
        "backend_type": req(enum("vault", "encrypted_file", "os_keychain")),
        "vault_config": opt(VAULT_CONFIG),
        "file_path": opt(text),
        "encryption_key": opt(text),
    }
)
SECRET_REQUEST = model(
    {"agent_id": req(text), "secret_name": req(text), "secret_value": opt(text), "description": opt(text)}
)
SECRET_INFO = model({"secret_name": req(text), "agent_id": req(text), "created_at": req(time), "updated_at": opt(time)})
SECRET_LIST = model({"secrets": req(many(text)), "agent_id": req(text)})

MCP_CONFIG = model(
    {
        "name": req(text),
        "command": req(many(text)),
        "env": Field(texts, {}),
        "cwd": opt(text),
        "timeout_seconds": Field(whole, 30),
    }
)
MCP_CONNECTION = model(
    {
        "server_name": req(text),
        "status": req(enum("connected", "disconnected", "connecting", "error")),
        "pid": opt(whole),
        "connected_at": opt(time),
        "last_error": opt(text),
        "tools_count": Field(whole, 0),
        "resources_count": Field(whole, 0),
    }
)
MCP_TOOL = model(
    {
        "name": req(text),
        "description": req(text),
        "server_name": req(text),
        "schema": req(record),
        "verified": req(boolean),
        "verification_hash": opt(text),
    }
)
MCP_RESOURCE = model(
    {"uri": req(text), "name": opt(text), "description": opt(text), "mime_type": opt(text), "server_name": req(text)}
)

METADATA = model(
    {
        "source": req(text),
        "source_type": req(SOURCE_TYPE),
        "chunk_index": opt(whole),
        "timestamp": req(time),
        "agent_id": opt(text),
    }
)
KNOWLEDGE_ITEM = model(
    {"id": req(text), "content": req(text), "embedding": opt(many(number)), "metadata": req(METADATA)}
)
SEARCH_REQUEST = model(
    {
        "query": req(text),
        "agent_id": opt(text),
        "source_types": Field(many(SOURCE_TYPE), []),
        "limit": Field(whole, 10),
        "similarity_threshold": Field(number, 0.7),
    }
)
SEARCH_RESPONSE = model(
    {
        "results": nested_many(model({"item": req(KNOWLEDGE_ITEM), "similarity_score": req(number)})),
        "query": req(text),
        "total_results": req(whole),
    }
)
CONTEXT_QUERY = model(
    {
        "query": req(text),
        "agent_id": opt(text),
        "max_context_items": Field(whole, 5),
        "include_conversation_history": Field(boolean, True),
    }
)
CONTEXT_RESPONSE = model(
    {
        "context_items": req(many(text)),
        "sources": req(many(text)),
        "query": req(text),
        "relevance_scores": req(many(number)),
    }
)
COMPILE_REQUEST = model({"dsl_content": req(text), "agent_name": req(text), "validate_only": Field(boolean, False)})
COMPILE_RESPONSE = model(
    {
        "success": req(boolean),
        "agent_id": opt(text),
        "errors": Field(many(text), []),
        "warnings": Field(many(text), []),
        "compiled_at": req(time),
    }
)
DEPLOY_REQUEST = model(
    {"agent_id": req(text), "environment": Field(text, "development"), "config_overrides": Field(record, {})}
)
DEPLOYMENT = model(
    {
        "deployment_id": req(text),
        "agent_id": req(text),
        "status": req(text),
        "deployed_at": req(time),
        "endpoint_url": opt(text),
    }
)

ROUTING_RULE = model(
    {
        "condition_type": req(enum("path_prefix", "header_equals", "json_field_equals")),
        "condition_value": req(text),
        "condition_target": opt(text),
        "agent_id": req(text),
    }
)
RESPONSE_CONTROL = model(
    {
        "default_status": Field(whole, 200),
        "agent_output_to_json": Field(boolean, True),
        "error_status": Field(whole, 500),
        "echo_input_on_error": Field(boolean, False),
    }
)


def optional_rules():
    check = optional(many(ROUTING_RULE))
    check.nested = ROUTING_RULE
    return Field(check, None)


HTTP_INPUT_CONFIG = model(
    {
        "bind_address": Field(text, "0.0.0.0"),
        "port": Field(whole, 8081),
        "path": Field(text, "/webhook"),
        "agent_id": req(text),
        "auth_header": opt(text),
        "jwt_public_key_path": opt(text),
        "max_body_bytes": Field(whole, 65536),
        "concurrency": Field(whole, 10),
        "routing_rules": optional_rules(),
        "response_control": opt(RESPONSE_CONTROL),
        "forward_headers": Field(many(text), []),
        "cors_enabled": Field(boolean, False),
        "audit_enabled": Field(boolean, True),
    }
)
HTTP_INPUT_CREATE = model({"config": req(HTTP_INPUT_CONFIG)})
HTTP_INPUT_UPDATE = model({"server_id": req(text), "config": req(HTTP_INPUT_CONFIG)})
HTTP_INPUT_INFO = model(
    {
        "server_id": req(text),
        "config": req(HTTP_INPUT_CONFIG),
        "status": req(text),
        "uptime_seconds": opt(whole),
        "requests_processed": Field(whole, 0),
        "active_connections": Field(whole, 0),
        "last_error": opt(text),
    }
)
TRIGGER_REQUEST = model({"server_id": req(text), "payload": req(record), "headers": Field(texts, {})})
TRIGGER_RESPONSE = model(
    {
        "status": req(text),
        "response_code": req(whole),
        "response_body": req(record),
        "processing_time_ms": req(number),
        "agent_id": req(text),
    }
)
