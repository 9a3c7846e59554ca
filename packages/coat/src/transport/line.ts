/**
 * An envelope as the line that is sent: one JSON object and a newline, within the size that lines may have.
 * The members that never change are written by hand, because this runs twice per wrapped call.
 */
import { FRAMEWORK, SPEC } from '../aot.ts'
import { type Fitted, shed } from './shed.ts'
import type { Draft } from './sink.ts'
import { timestamp } from './timestamp.ts'

/** How every line's `subject` begins until it is known whether its way out names the agent. */
const UNNAMED = '"subject":{"agent_id":"","agent_role":"",'

export interface Origin {
  readonly producerId: string
  readonly pid: number
  /** 0 in the main thread. */
  readonly tid: number
  readonly version: string
}

/** What a draft holds apart from its number: made first, because making it may run code that emits. */
export interface Body {
  readonly head: string
  readonly payload: string
}

export class LineMaker {
  readonly #framework: string
  readonly #producer: string
  readonly #tail: string

  constructor({ producerId, pid, tid, version }: Origin) {
    this.#framework = `"framework":${quoted(FRAMEWORK)},"framework_version":${quoted(version)}}`
    this.#producer = `,"producer":{"id":${quoted(producerId)},"seq":`
    this.#tail = `,"pid":${pid},"tid":${tid},"lang":"ts"`
  }

  body({ kind, tsMs, ids, framework, capture, payload }: Draft): Body {
    const subject =
      framework === undefined
        ? this.#framework
        : `"framework":${quoted(framework.framework)},"framework_version":${quoted(framework.framework_version)}}`
    const captured =
      capture.requested === undefined && capture.hash === undefined
        ? `{"mode":${quoted(capture.mode)}}`
        : JSON.stringify(capture)
    const head =
      `{"spec":"${SPEC}","kind":${quoted(kind)},"ts":"${timestamp(tsMs ?? Date.now())}"` +
      `,"ids":{"session_id":${quoted(ids.session_id)},"run_id":${quoted(ids.run_id)}` +
      `,"step_id":${quoted(ids.step_id)},"trace_id":${quoted(ids.trace_id)}` +
      `,"span_id":${quoted(ids.span_id)},"parent_span_id":${quoted(ids.parent_span_id)}}` +
      `,${UNNAMED}${subject},"capture":${captured},"payload":`
    return { head, payload: payloadJson(payload) }
  }

  /** @param dropped Events lost so far; named only when there are any. */
  line({ head, payload }: Body, seq: number, dropped: number): string {
    const lost = dropped === 0 ? '' : `,"dropped":${dropped}`
    return `${head}${payload}${this.#producer}${seq}${this.#tail}${lost}}}\n`
  }

  /** @returns A line that fits, with less in it, or `undefined` when even the least is too much. */
  fit(body: Body, seq: number, dropped: number, maxBytes: number): string | undefined {
    const fits: Fitted = (payload) => {
      const line = this.line({ head: body.head, payload }, seq, dropped)
      return isWithin(line, maxBytes) ? line : undefined
    }
    return shed(JSON.parse(body.payload) as Record<string, unknown>, fits)
  }
}

export function isWithin(line: string, maxBytes: number): boolean {
  // A UTF-16 unit takes at most three bytes, so most lines need no counting.
  if (line.length * 3 <= maxBytes) return true
  return line.length <= maxBytes && Buffer.byteLength(line) <= maxBytes
}

/** Where nobody else knows who speaks, a line names the agent as the environment does. */
export function namedSubject(agentId: string, agentRole: string): (line: string) => string {
  if (agentId === '' && agentRole === '') return (line) => line
  const named = `"subject":{"agent_id":${quoted(agentId)},"agent_role":${quoted(agentRole)},`
  return (line) => {
    // Text of others cannot look like it: quotes inside of values are escaped.
    const at = line.indexOf(UNNAMED)
    return `${line.slice(0, at)}${named}${line.slice(at + UNNAMED.length)}`
  }
}

const PLAIN = /^[\w.:@/ -]*$/

function quoted(text: unknown): string {
  if (typeof text !== 'string') return '""'
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}

function payloadJson(payload: Record<string, unknown>): string {
  try {
    const json = JSON.stringify(payload)
    if (json?.startsWith('{')) return json
  } catch {
    // A cycle, a bigint or a throwing getter in metadata: only that member is lost.
  }
  const members: string[] = []
  for (const key of Object.keys(payload ?? {})) {
    const value = memberJson(payload, key)
    if (value !== undefined) members.push(`${JSON.stringify(key)}:${value}`)
  }
  return `{${members.join(',')}}`
}

function memberJson(payload: Record<string, unknown>, key: string): string | undefined {
  try {
    return JSON.stringify(payload[key])
  } catch {
    return '"[unserialisable]"'
  }
}
