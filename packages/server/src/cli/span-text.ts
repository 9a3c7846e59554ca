/** Spans of agents, what they caused, and who they are, in words that trees and pages share. Pure. */
import { cellText, counted, isRow, type Row, rowOf, rowsOf } from './cell.ts'
import type { Style } from './style.ts'
import { detailBeside, dollars } from './trace-text.ts'

/** `agent auditor (jti_0c5e…)`, or `anonymous anon_pid5120_…`. */
export function callerText(caller: Row): string {
  if (caller['claim_kind'] !== 'claimed')
    return `anonymous ${cellText(caller['fingerprint'] ?? pidText(caller))}`
  const { agent, claim_id: claim } = caller
  const proof = claim === null || claim === undefined ? '' : ` (${cellText(claim)})`
  return `agent ${cellText(agent)}${proof}`
}

/** Whose words the things below are, and whose those above them are. */
export interface Speakers {
  readonly callers: readonly Row[]
  /** Place of who reported what stands above; undefined at the top. */
  readonly above?: number | undefined
}

export function speakersOf(trace: Row): Speakers {
  return { callers: rowsOf(trace, 'callers') }
}

/** For what stands below this one. */
export function speakersBelow({ callers, above }: Speakers, { caller }: Row): Speakers {
  return { callers, above: typeof caller === 'number' ? caller : above }
}

/**
 * `by anonymous anon_pid5120_…`, of a span or a tie that somebody else reported than what stands above it, and of a
 * call that somebody else made: anybody can write down the id of a span.
 */
export function byWhom({ callers, above }: Speakers, item: Row): string | undefined {
  const { caller, actor } = item
  const owner = above === undefined ? undefined : callers[above]
  if (typeof actor === 'string') {
    if (owner === undefined || !actor.startsWith('agent:')) return undefined
    const isClaimed = owner['claim_kind'] === 'claimed'
    const isSame = isClaimed ? actor === `agent:${String(owner['agent'])}` : callers.length === 1
    return isSame ? undefined : `by ${cellText(actor)}`
  }
  if (typeof caller !== 'number' || caller === above || callers.length === 1) return undefined
  const said = callers[caller]
  return said === undefined ? undefined : `by ${callerText(said)}`
}

function pidText({ pid }: Row): string {
  return typeof pid === 'number' ? `pid ${pid}` : 'process not known'
}

export function durationText(ms: unknown): string {
  if (typeof ms !== 'number') return ''
  return ms < 1_000 ? `${Math.round(ms * 10) / 10}ms` : `${(ms / 1_000).toFixed(3)}s`
}

/** Since something began: `+14ms`, `+1.21s`. */
export function offsetText(ms: unknown): string {
  if (typeof ms !== 'number') return ''
  const size = Math.abs(ms)
  const text = size < 1_000 ? `${Math.round(size)}ms` : `${Math.round(size / 10) / 100}s`
  return `${ms < 0 ? '-' : '+'}${text}`
}

const STATUS: Readonly<Record<string, Style>> = {
  ok: 'green',
  error: 'red',
  open: 'cyan',
  cancelled: 'yellow',
  abandoned: 'yellow',
  unobserved: 'dim',
}

export function statusStyle(status: unknown): Style {
  return STATUS[String(status)] ?? 'yellow'
}

/** What is known of an operation besides its name and time. */
export function spanFacts(span: Row): string[] {
  const {
    model,
    tool,
    input_tokens: input,
    output_tokens: output,
    cost_usd: cost,
    ...more
  } = rowOf(span, 'facts')
  const tokens = [
    input === undefined ? undefined : `in ${cellText(input)}`,
    output === undefined ? undefined : `out ${cellText(output)}`,
  ].filter((part) => part !== undefined)
  return [
    typeof span['error'] === 'string' ? cellText(span['error']) : undefined,
    model === undefined ? undefined : cellText(model),
    tool === undefined || tool === span['name'] ? undefined : cellText(tool),
    tokens.length === 0 ? undefined : tokens.join(' '),
    typeof cost === 'number' ? dollars(Math.round(cost * 1_000_000)) : undefined,
    more['queue_id'] === undefined ? undefined : `id=${cellText(more['queue_id'])}`,
    more['outcome'] === undefined ? undefined : cellText(more['outcome']),
    span['without_start'] === true ? 'beginning not known' : undefined,
  ].filter((part) => part !== undefined)
}

/** What was done, without when: `dns_query  api.anthropic.com A allow`. */
export function eventWords(event: Row): string[] {
  if (event['type'] === 'tie') {
    return [
      'tie',
      cellText(event['name']),
      ...(event['data'] === undefined ? [] : [cellText(event['data'])]),
    ]
  }
  const { action, detail, code, success, allow, tokens, cost_micros: cost } = event
  return [
    cellText(action),
    detailBeside(action, detail),
    ...(allow === false ? ['deny'] : []),
    ...(typeof code === 'string' && code !== 'OK' ? [cellText(code)] : []),
    ...(success === false && code === undefined && allow !== false ? ['failed'] : []),
    ...(typeof tokens === 'number' && tokens > 0 ? [counted(tokens, 'token')] : []),
    ...(typeof cost === 'number' && cost > 0 ? [dollars(cost)] : []),
  ]
}

/** Marks what was only guessed to be caused here. */
export function guessTag({ attribution }: Row): string | undefined {
  if (!isRow(attribution)) return undefined
  const { method } = attribution
  return method === 'heuristic' || method === 'window' ? '[heuristic]' : undefined
}
