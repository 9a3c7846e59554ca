import type { Insertable, Selectable } from 'kysely'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { MIGRATIONS } from './migrations.ts'
import { TABLE_NAMES, type Tables } from './schema.ts'
import { openStore } from './store.ts'
import { eachStore, postgresUrl, sqliteUrl } from './test-store.ts'

const bytes = new Uint8Array([0, 1, 254, 255])
const never = null

/** A row for every table, with every column: the compiler ties it to schema.ts, the test to the database. */
const ROWS: { [T in keyof Tables]: Selectable<Tables[T]> } = {
  meta: { key: 'vault_id', value: 'v' },
  slot: {
    id: 's',
    type: 'passphrase',
    label: 'first',
    kdf_json: '{}',
    nonce: bytes,
    wrapped_root: bytes,
    created_at: 1,
  },
  keyring: { id: 1, nonce: bytes, ct: bytes, updated_at: 1 },
  agent: {
    id: 'a',
    name: 'scout',
    display_name: 'Scout',
    role: 'reader',
    status: 'enabled',
    keys_json: '[]',
    spiffe_id: 'spiffe://d/agent/a',
    meta_json: '{}',
    require_sig_v2: 0,
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  operator: {
    id: 'o',
    name: 'ada',
    role: 'owner',
    public_key: bytes,
    status: 'enabled',
    created_at: 1,
    mac: bytes,
  },
  api_key: {
    id: 'k',
    name: 'key',
    role: 'agent',
    agent_id: 'a',
    hash: bytes,
    status: 'enabled',
    created_at: 1,
    expires_at: never,
    mac: bytes,
  },
  policy: {
    id: 'p',
    format: 'cedar',
    text: 'permit (principal, action, resource);',
    json: '{}',
    source: '',
    digest: 'd',
    enabled: 1,
    position: 1,
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  policy_set: { digest: 'd', json: '{}', created_at: 1 },
  credential: {
    path: 'team/app',
    type: never,
    description: 'Grüße ☂ 🧥',
    tags_json: '[]',
    metadata_json: '{}',
    settings_json: '{}',
    version: 1,
    min_decrypt_version: 1,
    created_at: 1,
    updated_at: 1,
    expires_at: never,
    deleted_at: never,
    mac: bytes,
  },
  credential_version: {
    path: 'team/app',
    version: 1,
    record: new Uint8Array(),
    created_at: 1,
    created_by: 'operator:ada',
    destroyed_at: never,
    encryptions: 0,
    mac: bytes,
  },
  row_change: { table: 'agent', before: null, after: bytes },
  lease: {
    id_hash: 'h',
    node: '',
    agent_id: 'a',
    path: 'team/app',
    version: 1,
    kind: 'retrieve',
    policy: 'p',
    request_id: 'r',
    issued_at: 1,
    expires_at: 2,
    state: 'live',
    reason: never,
    ended_at: never,
  },
  approval: {
    id: 'x',
    agent_id: 'a',
    agent: 'scout',
    action: 'vault:retrieve',
    resource: 'team/app',
    summary: 's',
    reason: 'r',
    params_digest: 'd',
    policy_id: 'p',
    state: 'pending',
    scope: 'once',
    requested_at: 1,
    decided_at: never,
    decided_by: never,
    expires_at: 2,
    mac: bytes,
  },
  limit_window: { key: 'w', window_start: 1, used: 1, expires_at: 2 },
  budget: { key: 'b', reserved: 1, spent: 0, updated_at: 1 },
  budget_hold: { id: 'h', key: 'b', amount: 1, expires_at: 2 },
  execution: {
    id: 'job_1',
    kind: 'gateway',
    key: 'k',
    fingerprint: never,
    agent_id: 'a',
    subject: 'gmail_send:send',
    mode: 'queued',
    repeatable: 0,
    state: 'reserved',
    reached: 0,
    owner: never,
    owner_until: never,
    attempts: 0,
    run_at: 1,
    retain_ms: 1,
    input: bytes,
    output: never,
    error_code: never,
    created_at: 1,
    started_at: never,
    finished_at: never,
    expires_at: never,
  },
  gateway_token: {
    id: 't',
    token_id: 'u',
    agent_id: 'a',
    payload_hash: 'h',
    tools_json: '[]',
    permissions_json: '[]',
    intent: never,
    txn: 'txn_1',
    issued_at: 1,
    expires_at: 2,
    revoked_at: never,
    mac: bytes,
  },
  agent_nonce: { agent_id: 'a', nonce: 'n', expires_at: 1 },
  tool: {
    id: 'crm',
    definition_json: '{}',
    digest: 'sha256:0',
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  run: {
    id: 'run_1',
    agent_id: 'a',
    spiffe_id: 'spiffe://d/agent/a',
    definition_json: '{}',
    node: 'n',
    uid: never,
    state: 'open',
    replacements: 0,
    created_at: 1,
    expires_at: 2,
    closed_at: never,
    mac: bytes,
  },
  run_key: {
    id: 'trat-1',
    use: 'trat',
    alg: 'EdDSA',
    public_jwk: '{}',
    private_key: bytes,
    created_at: 1,
    active_at: 1,
    retired_at: never,
    mac: bytes,
  },
  claim_terms: { id: 'a', terms_json: '{}', updated_at: 1, mac: bytes },
  claim: {
    id: 'jti_1',
    agent_id: 'a',
    node: 'n',
    boot_id: 'b',
    definition_json: '{}',
    issued_at: 1,
    expires_at: 2,
    mac: bytes,
  },
  review: {
    id: 'rev_1',
    tool_json: '{}',
    tool_name: 't',
    provider_name: 'p',
    schema_hash: 'sha256:0',
    submitted_by: 'Dana',
    submitted_by_key: 'dana',
    owner: '',
    priority: 2,
    status: 'submitted',
    state_json: '{}',
    before_json: never,
    version: 1,
    submitted_at: 1,
    updated_at: 1,
    analysed_at: never,
    decided_at: never,
    mac: bytes,
  },
  review_analysis: {
    id: 'ana_1',
    review_id: 'rev_1',
    risk_score: 0,
    result_json: '{}',
    duration_ms: 1,
    completed_at: 1,
    mac: bytes,
  },
  review_transition: {
    review_id: 'rev_1',
    seq: 1,
    at: 1,
    from_status: '',
    to_status: 'submitted',
    actor: 'operator:ada',
    detail_json: '{}',
    prev_hash: '',
    hash: 'h',
  },
  signing_key: {
    id: 'default',
    domain: 'd',
    developer_name: 'n',
    public_key_pem: 'p',
    fingerprint: 'sha256:0',
    private_key: bytes,
    status: 'active',
    revoked_at: never,
    revoked_reason: never,
    created_at: 1,
    mac: bytes,
  },
  tool_signature: {
    id: 'rev_1',
    tool_name: 't',
    provider_name: 'p',
    canonical_json: '{}',
    schema_hash: 'sha256:0',
    signature: 's',
    profile: 'A',
    signing_key_id: 'default',
    key_fingerprint: 'sha256:0',
    signer_id: 'd',
    signed_at: 1,
    previous_hash: never,
    mac: bytes,
  },
  key_pin: { id: 't@d', pins_json: '[]', updated_at: 1, mac: bytes },
  sealed_setting: { id: 's', record: bytes, version: 1, updated_at: 1, mac: bytes },
  mcp_server: {
    id: 'notes',
    transport: 'stdio',
    record: bytes,
    version: 1,
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  mcp_tool_pin: {
    id: 'notes/add',
    server: 'notes',
    tool: 'add',
    digest: 'sha256:0',
    definition_json: '{}',
    first_seen_at: 1,
    changed_at: never,
    seen_digest: never,
    review_id: never,
    mac: bytes,
  },
  runtime_agent: { id: 'a', definition_json: '{}', created_at: 1, updated_at: 1, mac: bytes },
  agent_run: {
    id: 'exe_1',
    agent_id: 'a',
    status: 'running',
    trigger: 'api',
    facts_json: '{}',
    content: bytes,
    created_at: 1,
    started_at: never,
    finished_at: never,
  },
  agent_message: {
    id: 'msg_1',
    agent_id: 'a',
    status: 'pending',
    record: bytes,
    bytes: 1,
    created_at: 1,
    expires_at: 2,
  },
  http_input: {
    id: 'his_1',
    record: bytes,
    version: 1,
    enabled: 1,
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  http_endpoint: {
    id: 'ep_1',
    method: 'GET',
    path: '/x',
    config_json: '{}',
    status: 'active',
    created_by: 'ada',
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  runtime_stat: { id: 's', stats_json: '{}', updated_at: 1 },
  execution_step: {
    execution_id: 'job_1',
    key: 'load',
    kind: 'transform',
    state: 'done',
    repeatable: 1,
    attempts: 1,
    error_code: never,
    output: bytes,
    run_at: never,
    started_at: 1,
    finished_at: 2,
  },
  workflow_definition: {
    id: 'w',
    version: '1',
    definition_json: '{}',
    created_by: 'ada',
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  workflow_run: {
    id: 'exe_w',
    workflow_id: 'w',
    agent_id: never,
    parent_id: never,
    status: 'running',
    trigger: 'api',
    facts_json: '{}',
    content: bytes,
    created_at: 1,
    started_at: 1,
    finished_at: never,
  },
  workflow_signal: { execution_id: 'exe_w', name: 'go', record: bytes, created_at: 1 },
  dsl_program: {
    id: 'a/1',
    agent_id: 'a',
    version: 1,
    source: 'agent a { }',
    source_hash: 'h',
    definition_json: '{}',
    permissions_json: '{}',
    created_by: 'ada',
    created_at: 1,
    mac: bytes,
  },
  deployment: {
    id: 'dep_1',
    agent_id: 'a',
    program_version: 1,
    environment: 'production',
    status: 'running',
    config_json: '{}',
    facts_json: '{}',
    revision: 1,
    created_by: 'ada',
    deployed_at: 1,
    stopped_at: never,
    mac: bytes,
  },
  webhook_delivery: { id: 'h', deployment_id: 'dep_1', execution_id: never, at: 1 },
  deployment_run: { execution_id: 'exe_1', deployment_id: 'dep_1', at: 1 },
  schedule: {
    id: 'job_1',
    name: 'nightly',
    cron: '30 2 * * *',
    timezone: 'UTC',
    agent_id: 'a',
    deployment_id: never,
    one_shot: 0,
    enabled: 1,
    config_json: '{}',
    created_by: 'ada',
    created_at: 1,
    updated_at: 1,
    mac: bytes,
  },
  schedule_state: {
    id: 'job_1',
    next_run_at: 2,
    last_run_at: never,
    run_count: 0,
    failure_count: 0,
  },
  schedule_run: {
    id: 'r',
    schedule_id: 'job_1',
    execution_id: never,
    due_at: 2,
    status: 'running',
    error: never,
    started_at: 2,
    completed_at: never,
  },
  knowledge_class: {
    id: 'c',
    owner: '',
    owner_id: '',
    source_type: 'document',
    labels_json: '[]',
    created_at: 1,
    mac: bytes,
  },
  knowledge_item: {
    id: 'kb-7',
    class_id: 'c',
    source: 'runbook.md',
    content: 'Backups run at 02:30.',
    content_hash: 'h',
    metadata_json: '{}',
    embedder: 'e',
    timestamp: 1,
    created_at: 1,
    updated_at: 1,
  },
  knowledge_chunk: {
    item_id: 'kb-7',
    seq: 0,
    class_id: 'c',
    text: 'Backups run at 02:30.',
    heading: '',
    vector: bytes,
  },
  knowledge_change: { revision: 1, item_id: 'kb-7', at: 1 },
  memory_node: {
    id: 'mem_1',
    agent: 'scout',
    conversation_id: never,
    parent_id: never,
    memory_type: 'fact',
    memory_level: 'short_term',
    content_json: '{}',
    metadata_json: '{}',
    labels_json: '[]',
    importance: 0.5,
    access_count: 0,
    embedder: '',
    vector: never,
    timestamp: 1,
    last_accessed: never,
    created_at: 1,
  },
  vector_collection: { id: 'notes', config_json: '{}', created_at: 1 },
  vector_point: {
    collection: 'notes',
    id: '1',
    vectors: bytes,
    payload_json: '{}',
    updated_at: 1,
  },
  txn_label: { txn: 'txn_1', label: 'confidential', at: 1 },
  audit_index: {
    node: '',
    seq: 1,
    timestamp: 1,
    action: 'x',
    phase: 'single',
    agent: never,
    actor: 'system',
    source: 'vault',
    success: 1,
    path: never,
    request_id: never,
    txn: never,
    trace_id: never,
    decision_id: never,
    segment: 'audit.jsonl',
    offset: 0,
    length: 10,
  },
}

eachStore('tables', (at) => {
  test('every table of the schema takes a whole row and gives it back', async () => {
    const parentsFirst = ['agent', 'budget', 'credential', 'review'] as const
    const names = new Set<keyof Tables>([...parentsFirst, ...TABLE_NAMES.map(tableName)])
    await at.store.write(async (trx) => {
      for (const name of names) {
        const row = ROWS[name] as Insertable<Tables[typeof name]>
        await trx.insertInto(name).values(row).execute()
      }
    })
    for (const name of names) {
      const rows = await at.store.db.selectFrom(name).selectAll().execute()
      expect(rows.map((row) => ({ ...row }))).toContainEqual(ROWS[name])
      expect(Object.keys(rows[0] ?? {}).sort()).toEqual(Object.keys(ROWS[name]).sort())
    }
  })

  test('a live name is taken once, and a revoked agent frees it', async () => {
    const { agent } = ROWS
    const insert = (row: Partial<typeof agent>) =>
      at.store.write((trx) =>
        trx
          .insertInto('agent')
          .values({ ...agent, ...row })
          .execute(),
      )
    await insert({})
    await expect(insert({ id: 'b', spiffe_id: 'b' })).rejects.toMatchObject({ code: 'CONFLICT' })
    await at.store.write((trx) => trx.updateTable('agent').set({ status: 'revoked' }).execute())
    await insert({ id: 'b', spiffe_id: 'b' })
  })

  test('the database notes every row MAC that comes or goes, whoever writes it', async () => {
    const other = new Uint8Array([9])
    const notes = await at.store.write(async (trx) => {
      const { credential, credential_version: version } = ROWS
      await trx.insertInto('credential').values(credential).execute()
      await trx.insertInto('credential_version').values(version).execute()
      await trx.updateTable('credential').set({ mac: other, type: 'x' }).execute()
      await trx.updateTable('credential').set({ type: 'y' }).execute()
      const upsert = trx.insertInto('credential').values({ ...credential, mac: bytes })
      await upsert.onConflict((clash) => clash.column('path').doUpdateSet({ mac: bytes })).execute()
      await trx.deleteFrom('credential').execute() // takes its versions with it
      return trx.selectFrom('row_change').selectAll().execute()
    })
    expect(notes.map((note) => ({ ...note }))).toEqual(
      expect.arrayContaining([
        { table: 'credential', before: null, after: bytes },
        { table: 'credential_version', before: null, after: bytes },
        { table: 'credential', before: bytes, after: other },
        { table: 'credential', before: other, after: bytes },
        { table: 'credential', before: bytes, after: null },
        { table: 'credential_version', before: bytes, after: null },
      ]),
    )
    expect(notes).toHaveLength(6)
  })

  test('opening again changes nothing', async () => {
    const before = await sql`select * from migration order by version`.execute(at.store.db)
    const again = await at.open({ now: () => 99 })
    expect(await sql`select * from migration order by version`.execute(again.db)).toEqual(before)
  })

  test('a store that a newer program has written is refused and left alone', async () => {
    await at.store.write((trx) =>
      sql`insert into migration (version, name, applied_at) values (999, 'later', 1)`.execute(trx),
    )
    await expect(at.open()).rejects.toMatchObject({
      code: 'STORE_TOO_NEW',
      message: expect.stringContaining('999'),
      hint: expect.stringContaining('newer'),
    })
    await at.store.write((trx) => sql`delete from migration where version = 999`.execute(trx))
  })
})

test.for([
  ['SQLite', sqliteUrl],
  ['PostgreSQL', postgresUrl],
] as const)(
  'several nodes that start at once migrate a new store once (%s)',
  async ([, newUrl], context) => {
    const url = await newUrl()
    if (url === undefined) return context.skip('PostgreSQL cannot run here')
    const stores = await Promise.all(Array.from({ length: 4 }, () => openStore(url)))
    const { rows } = await sql<{ n: number }>`select count(*) as n from migration`.execute(
      stores[0]!.db,
    )
    expect(rows[0]?.n).toBe(MIGRATIONS.length)
    await Promise.all(stores.map((store) => store.close()))
  },
)

function tableName(name: string): keyof Tables {
  return name as keyof Tables
}
