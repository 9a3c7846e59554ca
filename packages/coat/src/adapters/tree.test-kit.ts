/** Draws what was recorded as a tree, one line a span: kind, name, how it ended, what it used. */
import type { Recorded, Recorder } from '../recorder.test-kit.ts'

interface Usage {
  readonly input?: number
  readonly output?: number
}

export function tree(recorder: Recorder): string[] {
  const begun = recorder.events.filter(({ part }) => part !== 'end')
  const known = new Set(begun.map(({ ids }) => ids.span_id))
  const roots = begun.filter(({ ids }) => !known.has(ids.parent_span_id))
  const lines: string[] = []
  const draw = (event: Recorded, depth: number) => {
    lines.push(`${'  '.repeat(depth)}${line(event, endOf(recorder, event))}`)
    for (const child of begun) {
      if (child.ids.parent_span_id === event.ids.span_id && child !== event) draw(child, depth + 1)
    }
  }
  for (const root of roots) draw(root, 0)
  return lines
}

export function endOf(recorder: Recorder, start: Recorded): Recorded | undefined {
  return recorder.events.find(
    ({ part, ids }) => part === 'end' && ids.span_id === start.ids.span_id,
  )
}

/** The only span of that kind and name; throws when there is none, or another. */
export function spanOf(
  recorder: Recorder,
  kind: string,
  fn?: string,
): { start: Recorded; end: Recorded } {
  const found = recorder
    .spans()
    .filter(({ start }) => start.kind.startsWith(kind))
    .filter(({ start }) => fn === undefined || start.payload['fn'] === fn)
  const [only] = found
  if (found.length !== 1 || only?.end === undefined) {
    throw new Error(`${found.length} spans are ${kind} ${fn ?? ''}`)
  }
  return { start: only.start, end: only.end }
}

/** What all model calls used together. */
export function usageOf(recorder: Recorder): { input: number; output: number } {
  const sum = { input: 0, output: 0 }
  for (const { kind, payload } of recorder.events) {
    if (kind !== 'agent.llm.response') continue
    const usage = payload['usage'] as Usage | undefined
    sum.input += usage?.input ?? 0
    sum.output += usage?.output ?? 0
  }
  return sum
}

function line(event: Recorded, end: Recorded | undefined): string {
  if (event.part === 'point') return `tie ${String(event.payload['name'])}`
  const kind = event.kind.replace(/^agent\./, '').replace(/\.(?:start|request|call)$/, '')
  const status = end === undefined ? 'open' : String(end.payload['status'])
  const usage = end?.payload['usage'] as Usage | undefined
  const used = usage === undefined ? '' : ` in ${usage.input ?? '?'} out ${usage.output ?? '?'}`
  const outcome = end?.payload['outcome']
  const failed = end?.payload.error?.type
  return (
    [
      kind,
      String(event.payload['fn']),
      status,
      ...(outcome === undefined ? [] : [String(outcome)]),
      ...(failed === undefined ? [] : [failed]),
    ].join(' ') + used
  )
}
