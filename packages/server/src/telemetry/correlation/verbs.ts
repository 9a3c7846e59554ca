/** What operators ask of the record with spans in mind: everything under an id, and the log by traces of agents. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { AdminDeps } from '../../admin/deps.ts'
import {
  recordedUnder,
  TRACE_EVENTS,
  TRACE_RECORDS,
  totalsUnder,
} from '../../admin/recorded-under.ts'
import { traceTree } from '../../admin/trace.ts'
import { type AdminVerb, verb } from '../../admin/verb.ts'
import type { AuditFilter } from '../../audit/filter.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { hmacTag } from '../../seal/hash.ts'
import { podOf } from '../pod.ts'
import { agentTrace, hasAgentEvents, type Surroundings } from './agent-trace.ts'
import { type Correlation, correlateInSteps, type SpanView, type TraceGroup } from './correlate.ts'
import { followTrace, unknownId } from './following.ts'
import { inParts } from './long-reply.ts'
import { readPart, timeAround } from './reading.ts'
import { traceKey } from './span-ids.ts'

const DEFAULT_RECORDS = 20_000
const MAX_RECORDS = 200_000

/** @param podName Whose log this is. */
export function correlationVerbs(podName: string): readonly AdminVerb[] {
  return [
    verb({
      name: 'trace',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        id: z.string().min(1).max(128),
        /** Sends the trace again whenever it has grown, until it seems to be over. */
        follow: z.boolean().default(false),
      }),
      run: async ({ deps, params: { id, follow }, signal, emit }) => {
        const now = () => traceNow(deps, id, signal)
        if (follow) return followTrace(deps, { id, now, signal, emit })
        const trace = await now()
        if (trace === undefined) throw unknownId(id)
        return inParts(trace, emit)
      },
    }),
    verb({
      name: 'audit.spans',
      action: 'admin:read',
      event: 'admin.read',
      params: z.strictObject({
        pod: z.string().min(1).max(128).optional(),
        trace: z.string().min(1).max(128).optional(),
        agent: z.string().min(1).max(128).optional(),
        anonymous: z.boolean().optional(),
        /** Epoch ms. */
        since: z.int().optional(),
        until: z.int().optional(),
        /** Also what spans caused. */
        effects: z.boolean().default(true),
        limit: z.int().min(1).max(MAX_RECORDS).default(DEFAULT_RECORDS),
      }),
      run: async ({ deps, params, signal, emit }) => {
        await assertPod(deps, params.pod, podName)
        const { trace, since, until, limit } = params
        const filter: AuditFilter = {
          ...(trace !== undefined && (await timeOf(deps, trace, signal))),
          ...(since !== undefined && { sinceMs: since }),
          ...(until !== undefined && { untilMs: until }),
        }
        const { facts, truncated, ...part } = await readPart(deps, { filter, limit, signal })
        const found = await correlateInSteps(facts, { ...part, signal })
        return inParts({ ...chosen(found, params), truncated }, emit)
      },
    }),
  ]
}

/** @returns undefined while nothing was recorded under the id. */
async function traceNow(
  deps: AdminDeps,
  id: string,
  signal: AbortSignal,
): Promise<Record<string, unknown> | undefined> {
  const records = await recordedUnder(deps, recordedId(deps, id), signal)
  if (records.length === 0) return undefined
  return { id, ...(await toldTrace(deps, id, records, signal)) }
}

async function toldTrace(
  deps: AdminDeps,
  id: string,
  records: readonly AuditRecord[],
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  const calls = records.filter(({ source }) => source !== 'coat')
  const truncated = calls.length >= TRACE_RECORDS || records.length - calls.length >= TRACE_EVENTS
  if (!hasAgentEvents(records)) {
    const tree = traceTree(records)
    // What is too much to show still counts.
    const totals =
      truncated && tree.txns.includes(id) ? await totalsUnder(deps, id, signal) : tree.totals
    return { ...tree, totals, truncated }
  }
  const tree = await agentTrace(records, await surroundings(deps, records, signal), signal)
  return { ...tree, truncated }
}

async function surroundings(
  deps: AdminDeps,
  records: readonly AuditRecord[],
  signal: AbortSignal,
): Promise<Surroundings> {
  const effects = new Map<number, AuditRecord>()
  const events = records.filter(({ source }) => source === 'coat')
  const { facts } = await readPart(deps, {
    filter: timeAround(events),
    limit: DEFAULT_RECORDS,
    signal,
    onRecord: (record) => {
      if (record.source !== 'coat') effects.set(record.seq, record)
    },
  })
  return { facts, effects }
}

/** @throws VestryError NOT_FOUND when no agent wrote of this trace. */
async function timeOf(deps: AdminDeps, trace: string, signal: AbortSignal): Promise<AuditFilter> {
  const records = await recordedUnder(deps, trace.startsWith('tr_') ? trace : `tr_${trace}`, signal)
  const events = records.filter(({ source }) => source === 'coat')
  if (events.length === 0) {
    throw new VestryError('NOT_FOUND', `no agent reported a trace '${trace}'`, {
      hint: '"vestry audit --group-by-span" shows the newest ones',
    })
  }
  return timeAround(events)
}

interface Choice {
  readonly trace?: string | undefined
  readonly agent?: string | undefined
  readonly anonymous?: boolean | undefined
  readonly effects: boolean
}

/** Of what was read, what was asked for. */
function chosen(found: Correlation, { trace, agent, anonymous, effects }: Choice): Correlation {
  const isNarrow = trace !== undefined || agent !== undefined || anonymous === true
  const wanted = trace === undefined ? undefined : traceKey(bareTrace(trace))
  const traces = found.traces.filter(
    ({ trace_id, callers }) =>
      (wanted === undefined || traceKey(trace_id) === wanted) &&
      (agent === undefined ||
        callers.some((one) => one.claim_kind === 'claimed' && one.agent === agent)) &&
      (anonymous !== true || callers.some(({ claim_kind }) => claim_kind === 'anonymous')),
  )
  const pids = new Set(traces.flatMap(({ callers }) => callers.map(({ pid }) => pid)))
  return {
    traces: effects ? traces : traces.map(withoutEffects),
    unattributed: isNarrow || !effects ? [] : found.unattributed,
    producers: isNarrow ? found.producers.filter(({ pid }) => pids.has(pid)) : found.producers,
  }
}

function bareTrace(trace: string): string {
  return /^[0-9a-f]{32}$/.test(trace) || trace.startsWith('tr_') ? trace : `tr_${trace}`
}

function withoutEffects(trace: TraceGroup): TraceGroup {
  const bare = (span: SpanView): SpanView => ({
    ...span,
    events: span.events.filter(({ type }) => type === 'tie'),
    spans: span.spans.map(bare),
  })
  const spans = trace.spans.map(bare)
  const count = (all: readonly SpanView[]): number =>
    all.reduce((sum, { events, spans }) => sum + events.length + count(spans), 0)
  return { ...trace, spans, event_count: count(spans) + trace.events.length }
}

/** One daemon keeps the log of one pod, which has a name and an id. */
async function assertPod(
  { store }: AdminDeps,
  asked: string | undefined,
  podName: string,
): Promise<void> {
  if (asked === undefined || asked === podName) return
  if (asked.startsWith('pod_') && (await podOf(store, podName)).id === asked) return
  throw new VestryError('NOT_FOUND', `this daemon has no log of a pod '${asked}'`, {
    hint: `Its pod is '${podName}'; for another one name the home of its daemon with --home`,
  })
}

/** Ids of jobs are secrets: the log knows them by keyed hash. */
function recordedId({ vault }: AdminDeps, id: string): string {
  return id.startsWith('job_') ? hmacTag(vault.seal.keys.hashKey, id) : id
}
