/** Tables of migration 10: agents written in the DSL, workflows, deployments, schedules and knowledge. */
import type { Dialect } from './migrations.ts'

export const GUARDED_PROGRAM_TABLES = [
  'workflow_definition',
  'dsl_program',
  'deployment',
  'schedule',
  'knowledge_class',
] as const

export function programTables({
  integer,
  real,
  bytes,
  table,
  keyedTable,
}: Dialect): readonly string[] {
  return [
    `create table "execution_step" (
      "execution_id" text not null references "execution" ("id") on delete cascade,
      "key" text not null,
      "kind" text not null,
      "state" text not null,
      "repeatable" ${integer} not null,
      "attempts" ${integer} not null,
      "error_code" text,
      "output" ${bytes},
      "run_at" ${integer},
      "started_at" ${integer} not null,
      "finished_at" ${integer},
      primary key ("execution_id", "key")
    ) ${keyedTable}`,

    `create table "workflow_definition" (
      "id" text primary key not null,
      "version" text not null,
      "definition_json" text not null,
      "created_by" text not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create table "workflow_run" (
      "id" text primary key not null,
      "workflow_id" text not null,
      "agent_id" text,
      "parent_id" text,
      "status" text not null,
      "trigger" text not null,
      "facts_json" text not null,
      "content" ${bytes} not null,
      "created_at" ${integer} not null,
      "started_at" ${integer},
      "finished_at" ${integer}
    ) ${table}`,
    `create index "workflow_run_time" on "workflow_run" ("workflow_id", "created_at")`,
    `create index "workflow_run_open" on "workflow_run" ("created_at") where "finished_at" is null`,
    `create index "workflow_run_ended" on "workflow_run" ("finished_at") where "finished_at" is not null`,
    `create table "workflow_signal" (
      "execution_id" text not null,
      "name" text not null,
      "record" ${bytes} not null,
      "created_at" ${integer} not null,
      primary key ("execution_id", "name")
    ) ${keyedTable}`,

    `create table "dsl_program" (
      "id" text primary key not null,
      "agent_id" text not null,
      "version" ${integer} not null,
      "source" text not null,
      "source_hash" text not null,
      "definition_json" text not null,
      "permissions_json" text not null,
      "created_by" text not null,
      "created_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create unique index "dsl_program_version" on "dsl_program" ("agent_id", "version")`,

    `create table "deployment" (
      "id" text primary key not null,
      "agent_id" text not null,
      "program_version" ${integer},
      "environment" text not null,
      "status" text not null,
      "config_json" text not null,
      "facts_json" text not null,
      "revision" ${integer} not null,
      "created_by" text not null,
      "deployed_at" ${integer} not null,
      "stopped_at" ${integer},
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "deployment_agent" on "deployment" ("agent_id", "deployed_at")`,
    // What was accepted once is not accepted again; \`id\` is a keyed hash of provider and delivery.
    `create table "webhook_delivery" (
      "id" text primary key not null,
      "deployment_id" text not null,
      "execution_id" text,
      "at" ${integer} not null
    ) ${keyedTable}`,
    `create index "webhook_delivery_time" on "webhook_delivery" ("at")`,
    `create table "deployment_run" (
      "execution_id" text primary key not null,
      "deployment_id" text not null,
      "at" ${integer} not null
    ) ${keyedTable}`,
    `create index "deployment_run_of" on "deployment_run" ("deployment_id")`,

    `create table "schedule" (
      "id" text primary key not null,
      "name" text not null,
      "cron" text not null,
      "timezone" text not null,
      "agent_id" text not null,
      "deployment_id" text,
      "one_shot" ${integer} not null,
      "enabled" ${integer} not null,
      "config_json" text not null,
      "created_by" text not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create index "schedule_agent" on "schedule" ("agent_id")`,
    `create table "schedule_state" (
      "id" text primary key not null,
      "next_run_at" ${integer},
      "last_run_at" ${integer},
      "run_count" ${integer} not null,
      "failure_count" ${integer} not null
    ) ${table}`,
    `create index "schedule_state_due" on "schedule_state" ("next_run_at") where "next_run_at" is not null`,
    `create table "schedule_run" (
      "id" text primary key not null,
      "schedule_id" text not null,
      "execution_id" text,
      "due_at" ${integer} not null,
      "status" text not null,
      "error" text,
      "started_at" ${integer} not null,
      "completed_at" ${integer}
    ) ${table}`,
    `create unique index "schedule_run_due" on "schedule_run" ("schedule_id", "due_at")`,
    `create index "schedule_run_time" on "schedule_run" ("started_at")`,

    `create table "knowledge_class" (
      "id" text primary key not null,
      "owner" text not null,
      "owner_id" text not null,
      "source_type" text not null,
      "labels_json" text not null,
      "created_at" ${integer} not null,
      "mac" ${bytes} not null
    ) ${table}`,
    `create table "knowledge_item" (
      "id" text primary key not null,
      "class_id" text not null,
      "source" text not null,
      "content" text not null,
      "content_hash" text not null,
      "metadata_json" text not null,
      "embedder" text not null,
      "timestamp" ${integer} not null,
      "created_at" ${integer} not null,
      "updated_at" ${integer} not null
    ) ${table}`,
    `create index "knowledge_item_class" on "knowledge_item" ("class_id", "created_at")`,
    `create table "knowledge_chunk" (
      "item_id" text not null,
      "seq" ${integer} not null,
      "class_id" text not null,
      "text" text not null,
      "heading" text not null,
      "vector" ${bytes},
      primary key ("item_id", "seq")
    ) ${keyedTable}`,
    // What the index of each node has yet to take over: one row for each item that was put in or taken out.
    `create table "knowledge_change" (
      "revision" ${integer} primary key not null,
      "item_id" text not null,
      "at" ${integer} not null
    ) ${table}`,
    `create unique index "knowledge_change_item" on "knowledge_change" ("item_id")`,

    `create table "memory_node" (
      "id" text primary key not null,
      "agent" text not null,
      "conversation_id" text,
      "parent_id" text,
      "memory_type" text not null,
      "memory_level" text not null,
      "content_json" text not null,
      "metadata_json" text not null,
      "labels_json" text not null,
      "importance" ${real} not null,
      "access_count" ${integer} not null,
      "embedder" text not null,
      "vector" ${bytes},
      "timestamp" ${integer} not null,
      "last_accessed" ${integer},
      "created_at" ${integer} not null
    ) ${table}`,
    `create index "memory_node_agent" on "memory_node" ("agent", "memory_level", "timestamp")`,
    `create index "memory_node_conversation" on "memory_node" ("agent", "conversation_id", "timestamp")`,

    `create table "vector_collection" (
      "id" text primary key not null,
      "config_json" text not null,
      "created_at" ${integer} not null
    ) ${table}`,
    `create table "vector_point" (
      "collection" text not null references "vector_collection" ("id") on delete cascade,
      "id" text not null,
      "vectors" ${bytes} not null,
      "payload_json" text not null,
      "updated_at" ${integer} not null,
      primary key ("collection", "id")
    ) ${keyedTable}`,

    `create table "txn_label" (
      "txn" text not null,
      "label" text not null,
      "at" ${integer} not null,
      primary key ("txn", "label")
    ) ${keyedTable}`,
    `create index "txn_label_time" on "txn_label" ("at")`,
  ]
}
