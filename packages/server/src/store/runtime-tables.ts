/** Tables of migration 9. */
import type { Dialect } from './migrations.ts'

export function reviewTables({ integer, bytes, table, keyedTable }: Dialect): readonly string[] {
  return [
    `create table "review" (
      "id" text primary key not null,
      "tool_json" text not null,
      "tool_name" text not null,
      "provider_name" text not null,
      "schema_hash" text not null,
      "submitted_by" text not null,
      "submitted_by_key" text not null,
      "owner" text not null,
      "priority" ${integer} not null,
      "status" text not null,
      "state_json" text not null,
      "before_json" text,
      "version" ${integer} not null,
      "submitted_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "analysed_at" ${integer},
      "decided_at" ${integer},
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "review_status" on "review" ("status", "priority", "submitted_at")`,
    `create index "review_author" on "review" ("submitted_by_key")`,
    `create index "review_decided" on "review" ("decided_at") where "decided_at" is not null`,
    `create index "review_time" on "review" ("submitted_at", "id")`,
    `create index "review_tool" on "review" ("provider_name", "tool_name")`,
    `create index "review_hash" on "review" ("schema_hash")`,

    `create table "review_analysis" (
      "id" text primary key not null,
      "review_id" text not null references "review" ("id") on delete cascade,
      "risk_score" ${integer} not null,
      "result_json" text not null,
      "duration_ms" ${integer} not null,
      "completed_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "review_analysis_review" on "review_analysis" ("review_id", "completed_at")`,
    `create index "review_analysis_time" on "review_analysis" ("completed_at")`,

    `create table "review_transition" (
      "review_id" text not null references "review" ("id") on delete cascade,
      "seq" ${integer} not null,
      "at" ${integer} not null,
      "from_status" text not null,
      "to_status" text not null,
      "actor" text not null,
      "detail_json" text not null,
      "prev_hash" text not null,
      "hash" text not null,
      primary key ("review_id", "seq")
    ) ${keyedTable}`,

    `create table "signing_key" (
      "id" text primary key not null,
      "domain" text not null,
      "developer_name" text not null,
      "public_key_pem" text not null,
      "fingerprint" text not null,
      "private_key" ${bytes} not null,
      "status" text not null,
      "revoked_at" ${integer},
      "revoked_reason" text,
      "created_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,

    `create table "tool_signature" (
      "id" text primary key not null,
      "tool_name" text not null,
      "provider_name" text not null,
      "canonical_json" text not null,
      "schema_hash" text not null,
      "signature" text not null,
      "profile" text not null,
      "signing_key_id" text not null,
      "key_fingerprint" text not null,
      "signer_id" text not null,
      "signed_at" ${integer} not null,
      "previous_hash" text,
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "tool_signature_hash" on "tool_signature" ("schema_hash")`,
    `create index "tool_signature_tool" on "tool_signature" ("provider_name", "tool_name")`,

    `create table "key_pin" (
      "id" text primary key not null,
      "pins_json" text not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
  ]
}

export function sharedRuntimeTables({ integer, bytes, table }: Dialect): readonly string[] {
  return [
    `create table "sealed_setting" (
      "id" text primary key not null,
      "record" ${bytes} not null,
      "version" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,

    `create table "mcp_server" (
      "id" text primary key not null,
      "transport" text not null,
      "record" ${bytes} not null,
      "version" ${integer} not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create table "mcp_tool_pin" (
      "id" text primary key not null,
      "server" text not null,
      "tool" text not null,
      "digest" text not null,
      "definition_json" text not null,
      "first_seen_at" ${integer} not null,
      "changed_at" ${integer},
      "seen_digest" text,
      "review_id" text,
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "mcp_tool_pin_server" on "mcp_tool_pin" ("server")`,

    `create table "runtime_agent" (
      "id" text primary key not null,
      "definition_json" text not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create table "agent_run" (
      "id" text primary key not null,
      "agent_id" text not null,
      "status" text not null,
      "trigger" text not null,
      "facts_json" text not null,
      "content" ${bytes} not null,
      "created_at" ${integer} not null,
      "started_at" ${integer},
      "finished_at" ${integer}
    ) ${table}`,
    `create index "agent_run_agent" on "agent_run" ("agent_id", "created_at")`,
    `create index "agent_run_open" on "agent_run" ("agent_id") where "finished_at" is null`,
    `create index "agent_run_ended" on "agent_run" ("finished_at") where "finished_at" is not null`,
    `create table "agent_message" (
      "id" text primary key not null,
      "agent_id" text not null,
      "status" text not null,
      "record" ${bytes} not null,
      "bytes" ${integer} not null,
      "created_at" ${integer} not null,
      "expires_at" ${integer} not null
    ) ${table}`,
    `create index "agent_message_box" on "agent_message" ("agent_id", "status", "created_at")`,
    `create index "agent_message_end" on "agent_message" ("expires_at")`,

    `create table "http_input" (
      "id" text primary key not null,
      "record" ${bytes} not null,
      "version" ${integer} not null,
      "enabled" ${integer} not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create table "http_endpoint" (
      "id" text primary key not null,
      "method" text not null,
      "path" text not null,
      "config_json" text not null,
      "status" text not null,
      "created_by" text not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create unique index "http_endpoint_route" on "http_endpoint" ("method", "path")`,

    // Counters that a restart must not lose; written behind.
    `create table "runtime_stat" (
      "id" text primary key not null,
      "stats_json" text not null,
      "updated_at" ${integer} not null
    ) ${table}`,
  ]
}
