/** Envelopes of every kind, as the collector stores them; and records of the log around them. */
import type { AuditRecord } from '../../audit/record.ts'
import type { ExportRules } from './log-record.ts'

/** In every captured value of {@link SAMPLES}; nothing that leaves the host may hold it unless content is told. */
export const CANARY = 'canary-7f3c'

export const TRACE = '6e1f0a9c5b7d43e28f10c2b4d6e8a0f1'
export const BEGAN_MS = Date.parse('2026-05-02T09:14:07.480Z')

const CLAIMED = {
  pod_id: 'pod_ledger',
  pid: 31877,
  uid: 60000,
  ns_pid: 41,
  start_time: '8812301',
  claim_kind: 'claimed',
  agent_claim_id: 'jti_0c5e',
  capabilities: ['read'],
  session: 'sess_c41d',
  agent_uuid: '0b5c2c1e-9d7e-4f0a-8a53-6f2f7c1d9e10',
}

const ANONYMOUS = {
  pod_id: 'pod_ledger',
  pid: 5120,
  uid: 60000,
  start_time: '8812999',
  claim_kind: 'anonymous',
  anonymous: {
    pid: 5120,
    uid: 60000,
    session: 'sess_5120',
    fingerprint: 'anon_pid5120_uid60000_sesssess_5120',
  },
}

export interface Made {
  kind: string
  payload: Record<string, unknown>
  /** Of the envelope, ms after {@link BEGAN_MS}. */
  atMs?: number
  span?: string
  parent?: string
  trace?: string
  mode?: string
  anonymous?: boolean
  envpod?: Record<string, unknown>
  run?: string
}

/** @param seq Also the order in the log. */
export function stored(seq: number, made: Made): AuditRecord {
  const { kind, payload, atMs = 0, anonymous = false, mode = 'redacted' } = made
  const ts = new Date(BEGAN_MS + atMs).toISOString()
  const receivedAt = new Date(BEGAN_MS + atMs + 2).toISOString()
  const ids = {
    session_id: 'sess_9f2c41d07be8a610',
    run_id: made.run ?? 'run_51b0c77e2d9a4f38',
    step_id: '',
    trace_id: made.trace ?? `tr_${TRACE}`,
    span_id: made.span ?? 'sp_2b9d4c7e01f3a586',
    parent_span_id: made.parent ?? '',
  }
  return {
    ...frame(seq, receivedAt),
    action: 'agent_event',
    phase: 'single',
    detail: `${kind} span=${ids.span_id}`,
    success: payload['status'] !== 'error',
    actor: anonymous ? 'anonymous' : 'agent:auditor',
    source: 'coat',
    ...(!anonymous && { agent: 'auditor' }),
    pid: anonymous ? ANONYMOUS.pid : CLAIMED.pid,
    uid: 60000,
    span: {
      trace_id: ids.trace_id,
      span_id: ids.span_id,
      parent_span_id: ids.parent_span_id,
    },
    event: {
      spec: 'aotp/0.1',
      kind,
      ts,
      ids,
      subject: {
        agent_id: anonymous ? '' : 'auditor',
        agent_role: anonymous ? '' : 'ledger-check',
        framework: 'envpod-coat',
        framework_version: '0.1.0',
      },
      capture: { mode },
      payload,
      producer: { id: 'p_77aa10e4c2d98b35', seq, pid: 41, tid: 0, lang: 'ts' },
      envpod: {
        ...(anonymous ? ANONYMOUS : CLAIMED),
        recv_ts: receivedAt,
        ...made.envpod,
      },
    },
  }
}

/** A record of our own. */
export function effect(
  seq: number,
  atMs: number,
  more: Partial<AuditRecord> & Pick<AuditRecord, 'action' | 'source'>,
): AuditRecord {
  return {
    ...frame(seq, new Date(BEGAN_MS + atMs).toISOString()),
    phase: 'single',
    detail: more.action,
    success: true,
    actor: 'system',
    ...more,
  }
}

function frame(seq: number, timestamp: string) {
  return { v: 2, seq, timestamp, pod_name: 'ledger', prev: '0'.repeat(64), hash: '0'.repeat(64) }
}

const preview = (...args: unknown[]) => ({ args, kwargs: {} })
const result = (value: unknown) => ({ preview: { result: value } })

/** One span or event per kind, start and end. */
export const SAMPLES: Readonly<Record<string, readonly Made[]>> = {
  'agent.session': [
    {
      kind: 'agent.session.start',
      payload: {
        op: 'session',
        title: `Title ${CANARY}`,
        conversation_id: 'conv_42',
        entry: 'cli',
        versions: { node: '24.0.0', sdk: '0.1.0' },
      },
    },
    {
      kind: 'agent.session.end',
      atMs: 1903,
      payload: {
        op: 'session',
        status: 'ok',
        duration_ms: 1903.25,
        totals: { runs: 1, llm: 1, input_tokens: 812, output_tokens: 164, cost_usd: 0.004 },
      },
    },
  ],
  'agent.run': [
    {
      kind: 'agent.run.start',
      payload: {
        fn: 'reconcile',
        op: 'run',
        preview: preview({ ledger: 7, note: CANARY }),
        goal: `Goal ${CANARY}`,
        agent_name: 'My Auditor',
        conversation_id: 'conv_42',
      },
    },
    {
      kind: 'agent.run.end',
      atMs: 1903,
      payload: {
        fn: 'reconcile',
        op: 'run',
        status: 'ok',
        duration_ms: 1903.25,
        turns: 3,
        totals: { runs: 1, llm: 1, input_tokens: 812, output_tokens: 164, cost_usd: 0.004 },
        locals: { draft: CANARY },
        ...result(`balanced ${CANARY}`),
      },
    },
  ],
  'agent.step': [
    {
      kind: 'agent.step.start',
      payload: {
        fn: 'plan',
        op: 'plan',
        step_kind: 'plan',
        graph: { node: 'planner', step: 2, parent: 'root' },
        preview: preview(CANARY, 2),
      },
    },
    {
      kind: 'agent.step.end',
      atMs: 12,
      payload: { fn: 'plan', op: 'plan', status: 'ok', duration_ms: 12.5, ...result([CANARY]) },
    },
  ],
  'agent.llm': [
    {
      kind: 'agent.llm.request',
      payload: {
        fn: 'askModel',
        op: 'llm',
        operation: 'chat',
        provider: 'amazon-bedrock',
        model: 'claude-sonnet-4-6',
        params: {
          temperature: 1,
          max_tokens: 1024,
          top_p: 0.9,
          top_k: 40,
          seed: 7,
          stop: ['END'],
          stream: true,
        },
        messages: { count: 2, roles: ['system', 'user'], chars: [12, 14] },
        tools: ['read_ledger', 'write_ledger'],
        response_format: 'json_schema',
        preview: preview({
          system: `be exact ${CANARY}`,
          messages: [{ role: 'user', content: `check ledger 7 ${CANARY}` }],
        }),
      },
    },
    {
      kind: 'agent.llm.response',
      atMs: 1204,
      payload: {
        fn: 'askModel',
        op: 'llm',
        status: 'ok',
        duration_ms: 1204.125,
        response_model: 'claude-sonnet-4-6-20260101',
        response_id: 'msg_01',
        finish_reasons: ['tool_use'],
        usage: {
          input: 812,
          output: 164,
          cache_read: 512,
          cache_write: 64,
          reasoning: 32,
          audio_in: 1,
          audio_out: 2,
        },
        cost_usd: 0.004,
        ttft_ms: 250,
        tool_calls: [{ id: 'toolu_1', name: 'read_ledger' }],
        ...result({
          role: 'assistant',
          content: [
            { type: 'text', text: `I read it ${CANARY}` },
            { type: 'tool_use', id: 'toolu_1', name: 'read_ledger', input: { id: CANARY } },
          ],
        }),
      },
    },
  ],
  'agent.tool': [
    {
      kind: 'agent.tool.call',
      payload: {
        fn: 'readLedger',
        op: 'tool',
        tool: {
          name: 'read_ledger',
          type: 'function',
          call_id: 'toolu_1',
          description: 'Reads one ledger',
        },
        mcp: {
          method: 'tools/call',
          server: 'ledgers',
          session_id: 'mcp_9',
          protocol_version: '2025-11-25',
          transport: 'stdio',
          request_id: 4,
        },
        preview: preview({ id: 7, why: CANARY }),
      },
    },
    {
      kind: 'agent.tool.result',
      atMs: 4,
      payload: {
        fn: 'readLedger',
        op: 'tool',
        tool: { name: 'read_ledger', call_id: 'toolu_1' },
        status: 'error',
        is_error: true,
        duration_ms: 4.5,
        error: { type: 'ToolError', message: `no such ledger ${CANARY}` },
        ...result({ rows: [CANARY] }),
      },
    },
  ],
  'agent.memory.read': [
    {
      kind: 'agent.memory.read',
      payload: {
        phase: 'begin',
        fn: 'search',
        op: 'retriever',
        store: 'handbook',
        source: 'retriever',
        query: `travel ${CANARY}`,
        top_k: 3,
      },
    },
    {
      kind: 'agent.memory.read',
      atMs: 9,
      payload: {
        phase: 'end',
        fn: 'search',
        op: 'retriever',
        source: 'retriever',
        status: 'ok',
        duration_ms: 9,
        count: 2,
        ids: ['doc-1', 'doc-2'],
        scores: [0.91, 1],
        ...result([CANARY]),
      },
    },
  ],
  'agent.memory.write': [
    {
      kind: 'agent.memory.write',
      payload: {
        phase: 'begin',
        fn: 'remember',
        op: 'memory.write',
        store: 'facts',
        operation: 'create',
        record_id: 'rec_5',
        preview: preview(CANARY),
      },
    },
    {
      kind: 'agent.memory.write',
      atMs: 3,
      payload: {
        phase: 'end',
        fn: 'remember',
        op: 'memory.write',
        status: 'ok',
        duration_ms: 3,
        count: 1,
        bytes: 120,
      },
    },
  ],
  'agent.memory.delete': [
    {
      kind: 'agent.memory.delete',
      payload: {
        phase: 'begin',
        fn: 'forget',
        op: 'memory.delete',
        store: 'facts',
        record_id: 'rec_5',
      },
    },
    {
      kind: 'agent.memory.delete',
      atMs: 2,
      payload: {
        phase: 'end',
        fn: 'forget',
        op: 'memory.delete',
        status: 'ok',
        duration_ms: 2,
        count: 1,
      },
    },
  ],
  'agent.subagent': [
    {
      kind: 'agent.subagent.start',
      payload: {
        op: 'subagent',
        name: 'checker',
        agent_type: 'review',
        task: `look at ${CANARY}`,
        child: { trace_id: 'tr_0af7651916cd43dd8448eb211c80319c', pid: 77 },
        via: 'remote',
      },
    },
    {
      kind: 'agent.subagent.end',
      atMs: 700,
      payload: {
        op: 'subagent',
        name: 'checker',
        status: 'ok',
        duration_ms: 700.5,
        usage: { input: 10, output: 5 },
        ...result(CANARY),
      },
    },
  ],
  'agent.human.request': [
    {
      kind: 'agent.human.request',
      payload: {
        phase: 'begin',
        fn: 'confirm',
        op: 'human',
        request: 'approval',
        prompt: `May I pay ${CANARY}?`,
        options: ['yes', 'no'],
        queue_id: '8c1f02aa',
        timeout_ms: 60000,
      },
    },
    {
      kind: 'agent.human.request',
      atMs: 5000,
      payload: {
        phase: 'end',
        fn: 'confirm',
        op: 'human',
        request: 'approval',
        status: 'ok',
        outcome: 'approved',
        answer: `yes ${CANARY}`,
        waited_ms: 4998,
        duration_ms: 5000,
      },
    },
  ],
  'x.coat.tie': [
    { kind: 'agent.step.start', payload: { fn: 'plan', op: 'step', preview: preview() } },
    {
      kind: 'x.coat.tie',
      atMs: 5,
      span: 'sp_00f067aa0ba902b7',
      parent: 'sp_2b9d4c7e01f3a586',
      payload: { name: 'progress', data: { done: 3, of: CANARY } },
    },
    {
      kind: 'agent.step.end',
      atMs: 12,
      payload: { fn: 'plan', op: 'step', status: 'ok', duration_ms: 12, preview: {} },
    },
  ],
}

export const NOTHING_HIDDEN = {
  inputs: false,
  outputs: false,
  inputMessages: false,
  outputMessages: false,
  inputText: false,
  outputText: false,
  parameters: false,
  tools: false,
}

export function rules(more: Partial<ExportRules> = {}): ExportRules {
  return {
    genAi: true,
    content: false,
    hidden: NOTHING_HIDDEN,
    redact: () => '[redacted]',
    ...more,
  }
}
