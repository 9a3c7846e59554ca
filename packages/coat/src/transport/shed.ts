/** What an oversized event gives up, and in which order. Says so in `payload.shed`. */

/** @returns The line of a payload, or `undefined` when it is too long. */
export type Fitted = (payload: string) => string | undefined

/** Without these an event could not be understood. */
const KEPT = new Set(['fn', 'op', 'status', 'duration_ms', 'phase', 'name', 'tool', 'request'])

/** @param payload Parsed for this purpose: it is changed. */
export function shed(payload: Record<string, unknown>, fits: Fitted): string | undefined {
  const given: string[] = []
  for (const part of parts(payload)) {
    if (!part.remove()) continue
    given.push(part.name)
    const line = fits(JSON.stringify({ ...payload, shed: given }))
    if (line !== undefined) return line
  }
  return undefined
}

interface Part {
  readonly name: string
  /** Whether there was something to remove. */
  remove(): boolean
}

function* parts(payload: Record<string, unknown>): Generator<Part> {
  for (const name of ['locals', 'preview']) yield member(payload, name)
  const error = payload['error']
  if (isObject(error)) yield { ...member(error, 'stack'), name: 'error.stack' }
  const rest = Object.keys(payload).filter((name) => !KEPT.has(name) && name !== 'error')
  const size = new Map(rest.map((name) => [name, JSON.stringify(payload[name]).length]))
  rest.sort((one, other) => (size.get(other) ?? 0) - (size.get(one) ?? 0))
  for (const name of [...rest, 'error']) yield member(payload, name)
}

function member(holder: Record<string, unknown>, name: string): Part {
  return {
    name,
    remove: () => name in holder && delete holder[name],
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
