/** One envelope as a record of the log. Pure. */
import type { AuditEntry } from '../../audit/record.ts'
import type { Received } from './envelope.ts'
import { who } from './rejects.ts'
import type { Speaker, StoredStamp } from './stamp.ts'

const MAX_NAME_CHARS = 200

export function eventEntry(
  received: Received,
  speaker: Speaker,
  made: {
    readonly capture: Received['capture']
    readonly ids: Received['ids']
    readonly payload: Readonly<Record<string, unknown>>
    readonly framework: Pick<Received, 'framework' | 'frameworkVersion'>
    readonly stamp: StoredStamp
  },
): AuditEntry {
  const { kind } = received
  const { ids, payload, stamp, framework } = made
  const { span_id, trace_id, parent_span_id } = ids
  return {
    action: 'agent_event',
    phase: 'single',
    detail: detailOf(kind.kind, payload, span_id),
    success: payload['status'] !== 'error',
    ...who(speaker),
    source: 'coat',
    ...(stamp.pid >= 0 && { pid: stamp.pid, uid: stamp.uid }),
    span: { trace_id, span_id, parent_span_id },
    event: {
      spec: received.spec,
      kind: kind.kind,
      ...(kind.original !== undefined && { kind_original: kind.original }),
      ...(!kind.known && { kind_known: false }),
      ts: received.ts,
      ids,
      subject: {
        agent_id: speaker.agentId,
        agent_role: speaker.agentRole,
        framework: framework.framework,
        framework_version: framework.frameworkVersion,
      },
      capture: made.capture,
      payload,
      ...(received.producer !== undefined && { producer: received.producer }),
      envpod: stamp,
    },
  }
}

/** `agent.llm.request askModel span=sp_…`, for a person. */
function detailOf(kind: string, payload: Readonly<Record<string, unknown>>, span: string): string {
  const { fn, name } = payload
  const what = typeof fn === 'string' ? fn : typeof name === 'string' ? name : ''
  const shown = what.length > MAX_NAME_CHARS ? what.slice(0, MAX_NAME_CHARS).toWellFormed() : what
  return [kind, onOneLine(shown), span === '' ? '' : `span=${span}`].filter(Boolean).join(' ')
}

const PLAIN = /^[ -~]*$/
/** What ends a line, moves a cursor, or turns the direction of writing. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

function onOneLine(text: string): string {
  if (PLAIN.test(text)) return text
  return text.replace(
    UNSEEN,
    (found) => `\\u${found.codePointAt(0)?.toString(16).padStart(4, '0')}`,
  )
}
