/**
 * The one list of migrations, for both engines. A migration that was released is never edited: the next one
 * alters what it made. Columns follow schema.ts; every name is quoted because some are reserved words.
 */

import { GUARDED_PROGRAM_TABLES, programTables } from './program-tables.ts'
import { reviewTables, sharedRuntimeTables } from './runtime-tables.ts'

/** What differs between the engines in a table definition. */
export interface Dialect {
  readonly engine: 'sqlite' | 'postgres'
  readonly integer: string
  readonly real: string
  readonly bytes: string
  /** After the closing bracket of a table. */
  readonly table: string
  /** The same for a table found by a text key, whose rows then sit in the index itself. */
  readonly keyedTable: string
}

export const SQLITE: Dialect = {
  engine: 'sqlite',
  integer: 'integer',
  real: 'real',
  bytes: 'blob',
  table: 'strict',
  keyedTable: 'strict, without rowid',
}
export const POSTGRES: Dialect = {
  engine: 'postgres',
  integer: 'bigint',
  real: 'double precision',
  bytes: 'bytea',
  table: '',
  keyedTable: '',
}

export interface Migration {
  readonly version: number
  readonly name: string
  readonly statements: (dialect: Dialect) => readonly string[]
}

export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'first tables', statements: firstTables },
  { version: 2, name: 'note row changes', statements: noteRowChanges },
  {
    version: 3,
    name: 'node of a lease',
    statements: () => [`alter table "lease" add column "node" text not null default ''`],
  },
  { version: 4, name: 'signed approvals', statements: signApprovals },
  { version: 5, name: 'what an approval is about', statements: explainApprovals },
  { version: 6, name: 'gateway and journal', statements: gatewayTables },
  { version: 7, name: 'runs', statements: runTables },
  { version: 8, name: 'claims', statements: claimTables },
  { version: 9, name: 'runtime', statements: runtimeTables },
  { version: 10, name: 'programs, workflows and knowledge', statements: addPrograms },
]

function firstTables({ integer, bytes, table, keyedTable }: Dialect): readonly string[] {
  return [
    `create table "meta" (
      "key" text primary key not null,
      "value" text not null
    ) ${table}`,
    `insert into "meta" ("key", "value") values ('generation', '0')`,

    `create table "slot" (
      "id" text primary key not null,
      "type" text not null,
      "label" text not null,
      "kdf_json" text not null,
      "nonce" ${bytes} not null,
      "wrapped_root" ${bytes} not null,
      "created_at" ${integer} not null
    ) ${table}`,

    `create table "keyring" (
      "id" ${integer} primary key not null check ("id" = 1),
      "nonce" ${bytes} not null,
      "ct" ${bytes} not null,
      "updated_at" ${integer} not null
    ) ${table}`,

    `create table "agent" (
      "id" text primary key not null,
      "name" text not null,
      "display_name" text not null,
      "role" text not null,
      "status" text not null,
      "keys_json" text not null,
      "spiffe_id" text not null,
      "meta_json" text not null,
      "require_sig_v2" ${integer} not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    // A revoked agent frees its name.
    `create unique index "agent_name" on "agent" ("name") where "status" <> 'revoked'`,
    `create unique index "agent_spiffe_id" on "agent" ("spiffe_id")`,

    `create table "operator" (
      "id" text primary key not null,
      "name" text not null,
      "role" text not null,
      "public_key" ${bytes} not null,
      "status" text not null,
      "created_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create unique index "operator_name" on "operator" ("name") where "status" <> 'revoked'`,

    `create table "api_key" (
      "id" text primary key not null,
      "name" text not null,
      "role" text not null,
      "agent_id" text references "agent" ("id") on delete cascade,
      "hash" ${bytes} not null,
      "status" text not null,
      "created_at" ${integer} not null,
      "expires_at" ${integer},
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "api_key_agent" on "api_key" ("agent_id") where "agent_id" is not null`,

    `create table "policy" (
      "id" text primary key not null,
      "format" text not null,
      "text" text not null,
      "json" text not null,
      "source" text not null,
      "digest" text not null,
      "enabled" ${integer} not null,
      "position" ${integer} not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create table "policy_set" (
      "digest" text primary key not null,
      "json" text not null,
      "created_at" ${integer} not null
    ) ${table}`,

    `create table "credential" (
      "path" text primary key not null,
      "type" text,
      "description" text,
      "tags_json" text not null,
      "metadata_json" text not null,
      "settings_json" text not null,
      "version" ${integer} not null,
      "min_decrypt_version" ${integer} not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "expires_at" ${integer},
      "deleted_at" ${integer},
      "mac" ${bytes} not null
    ) ${keyedTable}`,
    `create table "credential_version" (
      "path" text not null references "credential" ("path") on delete cascade,
      "version" ${integer} not null,
      "record" ${bytes} not null,
      "created_at" ${integer} not null,
      "created_by" text not null,
      "destroyed_at" ${integer},
      "encryptions" ${integer} not null,
      "mac" ${bytes} not null,
      primary key ("path", "version")
    ) ${keyedTable}`,

    `create table "lease" (
      "id_hash" text primary key not null,
      "agent_id" text not null,
      "path" text not null,
      "version" ${integer} not null,
      "kind" text not null,
      "policy" text not null,
      "request_id" text not null,
      "issued_at" ${integer} not null,
      "expires_at" ${integer} not null,
      "state" text not null,
      "reason" text,
      "ended_at" ${integer}
    ) ${table}`,
    `create index "lease_live" on "lease" ("expires_at") where "state" = 'live'`,
    `create index "lease_agent" on "lease" ("agent_id", "issued_at")`,

    `create table "approval" (
      "id" text primary key not null,
      "agent_id" text not null,
      "action" text not null,
      "resource" text not null,
      "params_digest" text not null,
      "policy_id" text not null,
      "state" text not null,
      "scope" text not null,
      "requested_at" ${integer} not null,
      "decided_at" ${integer},
      "decided_by" text,
      "expires_at" ${integer} not null
    ) ${table}`,
    `create index "approval_match" on "approval"
      ("agent_id", "action", "resource", "params_digest", "policy_id")`,
    `create index "approval_state" on "approval" ("state", "expires_at")`,

    `create table "limit_window" (
      "key" text not null,
      "window_start" ${integer} not null,
      "used" ${integer} not null check ("used" >= 0),
      "expires_at" ${integer} not null,
      primary key ("key", "window_start")
    ) ${keyedTable}`,
    `create index "limit_window_expiry" on "limit_window" ("expires_at")`,
    `create table "budget" (
      "key" text primary key not null,
      "reserved" ${integer} not null check ("reserved" >= 0),
      "spent" ${integer} not null check ("spent" >= 0),
      "updated_at" ${integer} not null
    ) ${table}`,
    `create table "budget_hold" (
      "id" text primary key not null,
      "key" text not null references "budget" ("key") on delete cascade,
      "amount" ${integer} not null check ("amount" >= 0),
      "expires_at" ${integer} not null
    ) ${table}`,
    `create index "budget_hold_key" on "budget_hold" ("key", "expires_at")`,
    `create index "budget_hold_expiry" on "budget_hold" ("expires_at")`,

    `create table "audit_index" (
      "node" text not null default '',
      "seq" ${integer} not null,
      "timestamp" ${integer} not null,
      "action" text not null,
      "phase" text not null,
      "agent" text,
      "actor" text not null,
      "source" text not null,
      "success" ${integer} not null,
      "path" text,
      "request_id" text,
      "txn" text,
      "trace_id" text,
      "decision_id" text,
      "segment" text not null,
      "offset" ${integer} not null,
      "length" ${integer} not null,
      primary key ("node", "seq")
    ) ${table}`,
    `create index "audit_index_time" on "audit_index" ("timestamp")`,
    ...['agent', 'path', 'request_id', 'txn', 'trace_id', 'decision_id'].map(
      (column) => `create index "audit_index_${column}" on "audit_index" ("${column}", "timestamp")
        where "${column}" is not null`,
    ),
  ]
}

/** Tables whose rows carry a MAC and decide who may do what; those of migration 2. */
const GUARDED = ['agent', 'operator', 'api_key', 'policy', 'credential', 'credential_version']

/**
 * The database itself notes every row MAC that came or went, so that no writer can forget to. Whoever makes a
 * change reads the notes before it commits and folds them into the fingerprint of all rows.
 */
function noteRowChanges({ engine, bytes, table }: Dialect): readonly string[] {
  const notes = `create table "row_change" (
    "table" text not null,
    "before" ${bytes},
    "after" ${bytes}
  ) ${table}`
  return [notes, ...(engine === 'sqlite' ? sqliteTriggers(GUARDED) : postgresFunction(GUARDED))]
}

/** Questions asked before their rows were signed are asked again. */
function signApprovals({ engine, bytes }: Dialect): readonly string[] {
  const none = engine === 'sqlite' ? "x''" : "''"
  return [
    `delete from "approval"`,
    `alter table "approval" add column "mac" ${bytes} not null default ${none}`,
  ]
}

/** Questions whose rows do not say what they are about are asked again. */
function explainApprovals(): readonly string[] {
  return [
    `delete from "approval"`,
    `alter table "approval" add column "agent" text not null default ''`,
    `alter table "approval" add column "summary" text not null default ''`,
    `alter table "approval" add column "reason" text`,
  ]
}

/** What the gateway keeps, and the durable journal of effects. */
function gatewayTables({ engine, integer, bytes, table, keyedTable }: Dialect): readonly string[] {
  return [
    `create table "execution" (
      "id" text primary key not null,
      "kind" text not null,
      "key" text,
      "fingerprint" text,
      "agent_id" text not null,
      "subject" text not null,
      "mode" text not null,
      "repeatable" ${integer} not null,
      "state" text not null,
      "reached" ${integer} not null,
      "owner" text,
      "owner_until" ${integer},
      "attempts" ${integer} not null,
      "run_at" ${integer} not null,
      "retain_ms" ${integer} not null,
      "error_code" text,
      "created_at" ${integer} not null,
      "started_at" ${integer},
      "finished_at" ${integer},
      "expires_at" ${integer},
      "input" ${bytes},
      "output" ${bytes}
    ) ${table}`,
    `create unique index "execution_key" on "execution" ("kind", "key") where "key" is not null`,
    `create index "execution_waiting" on "execution" ("kind", "run_at", "created_at")
      where "state" = 'reserved' and "owner" is null`,
    `create index "execution_held" on "execution" ("owner_until") where "owner" is not null`,
    `create index "execution_expiry" on "execution" ("expires_at") where "expires_at" is not null`,
    `create index "execution_time" on "execution" ("kind", "created_at")`,

    `create table "gateway_token" (
      "id" text primary key not null,
      "token_id" text not null,
      "agent_id" text not null,
      "payload_hash" text not null,
      "tools_json" text not null,
      "permissions_json" text not null,
      "intent" text,
      "txn" text not null,
      "issued_at" ${integer} not null,
      "expires_at" ${integer} not null,
      "revoked_at" ${integer},
      "mac" ${bytes} not null
    ) ${table}`,
    `create unique index "gateway_token_id" on "gateway_token" ("token_id")`,
    `create unique index "gateway_token_hash" on "gateway_token" ("payload_hash")`,
    `create index "gateway_token_agent" on "gateway_token" ("agent_id", "issued_at")`,
    `create index "gateway_token_expiry" on "gateway_token" ("expires_at")`,

    `create table "agent_nonce" (
      "agent_id" text not null,
      "nonce" text not null,
      "expires_at" ${integer} not null,
      primary key ("agent_id", "nonce")
    ) ${keyedTable}`,
    `create index "agent_nonce_expiry" on "agent_nonce" ("expires_at")`,

    `create table "tool" (
      "id" text primary key not null,
      "definition_json" text not null,
      "digest" text not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    ...(engine === 'sqlite' ? sqliteTriggers(['tool']) : postgresTriggers(['tool'])),
  ]
}

/** Transactions that were registered, and the keys their tokens are signed with. */
function runTables({ engine, integer, bytes, table }: Dialect): readonly string[] {
  return [
    `create table "run" (
      "id" text primary key not null,
      "agent_id" text not null,
      "spiffe_id" text not null,
      "definition_json" text not null,
      "node" text not null,
      "uid" ${integer},
      "state" text not null,
      "replacements" ${integer} not null,
      "created_at" ${integer} not null,
      "expires_at" ${integer} not null,
      "closed_at" ${integer},
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "run_spiffe_id" on "run" ("spiffe_id", "created_at") where "state" = 'open'`,
    `create index "run_node" on "run" ("node") where "state" = 'open'`,
    `create index "run_time" on "run" ("created_at")`,
    `create index "run_expiry" on "run" ("expires_at")`,
    ...(engine === 'sqlite' ? sqliteTriggers(['run']) : postgresTriggers(['run'])),
    // What was taken under a run ends with it.
    `create index "gateway_token_txn" on "gateway_token" ("txn")`,

    `create table "run_key" (
      "id" text primary key not null,
      "use" text not null,
      "alg" text not null,
      "public_jwk" text not null,
      "private_key" ${bytes} not null,
      "created_at" ${integer} not null,
      "active_at" ${integer} not null,
      "retired_at" ${integer},
      "mac" ${bytes} not null
    ) ${table}`,
  ]
}

/** Which processes may be which agent, and which are. */
function claimTables({ engine, integer, bytes, table }: Dialect): readonly string[] {
  const guarded = ['claim_terms']
  return [
    `create table "claim_terms" (
      "id" text primary key not null,
      "terms_json" text not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    ...(engine === 'sqlite' ? sqliteTriggers(guarded) : postgresTriggers(guarded)),

    `create table "claim" (
      "id" text primary key not null,
      "agent_id" text not null,
      "node" text not null,
      "boot_id" text not null,
      "definition_json" text not null,
      "issued_at" ${integer} not null,
      "expires_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "claim_node" on "claim" ("node")`,
    `create index "claim_agent" on "claim" ("agent_id", "expires_at")`,
    `create index "claim_expiry" on "claim" ("expires_at")`,
  ]
}

/** What the runtime keeps: reviews and signatures, secrets' settings, MCP servers, agents' definitions, HTTP inputs. */
function runtimeTables(dialect: Dialect): readonly string[] {
  const triggers = dialect.engine === 'sqlite' ? sqliteTriggers : postgresTriggers
  return [
    ...reviewTables(dialect),
    ...sharedRuntimeTables(dialect),
    ...triggers([
      'review',
      'signing_key',
      'tool_signature',
      'key_pin',
      'sealed_setting',
      'mcp_server',
      'mcp_tool_pin',
      'runtime_agent',
      'http_input',
      'http_endpoint',
    ]),
  ]
}

function addPrograms(dialect: Dialect): readonly string[] {
  const triggers = dialect.engine === 'sqlite' ? sqliteTriggers : postgresTriggers
  return [...programTables(dialect), ...triggers(GUARDED_PROGRAM_TABLES)]
}

function sqliteTriggers(names: readonly string[]): string[] {
  const note = (name: string, values: string) =>
    `begin insert into "row_change" values ('${name}', ${values}); end`
  return names.flatMap((name) => [
    `create trigger "${name}_added" after insert on "${name}"
      ${note(name, 'null, new."mac"')}`,
    `create trigger "${name}_altered" after update of "mac" on "${name}"
      ${note(name, 'old."mac", new."mac"')}`,
    `create trigger "${name}_removed" after delete on "${name}"
      ${note(name, 'old."mac", null')}`,
  ])
}

/** The source of the one function in the database, to the letter. */
export const NOTE_ROW_CHANGE = ` declare
      old_mac bytea;
      new_mac bytea;
    begin
      if TG_OP <> 'INSERT' then old_mac := OLD."mac"; end if;
      if TG_OP <> 'DELETE' then new_mac := NEW."mac"; end if;
      insert into "row_change" values (TG_TABLE_NAME, old_mac, new_mac);
      return null;
    end `

function postgresFunction(names: readonly string[]): string[] {
  return [
    `create function "note_row_change"() returns trigger language plpgsql as $$${NOTE_ROW_CHANGE}$$`,
    ...postgresTriggers(names),
  ]
}

function postgresTriggers(names: readonly string[]): string[] {
  return names.map(
    (name) => `create trigger "${name}_changed" after insert or update of "mac" or delete
        on "${name}" for each row execute function "note_row_change"()`,
  )
}
