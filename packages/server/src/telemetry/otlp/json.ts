/**
 * Writes OTLP messages as JSON: 64-bit integers as decimal text, ids as hex, enums as numbers; and reads what a
 * receiver answers.
 */
import type { PartialSuccess } from './protobuf.ts'
import { FIELDS, isPresent, type Message, type MessageName, type NamedField } from './schema.ts'

/** @param message Members as MESSAGES in schema.ts names them: `nanos` as bigint, `id` as hex. */
export function encodeJson(name: MessageName, message: Message): string {
  return JSON.stringify(plain(name, message))
}

function plain(name: MessageName, message: Message): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const field of FIELDS[name]) {
    const { member, repeated } = field
    const value = message[member]
    if (value === undefined) continue
    if (repeated) {
      const items = value as readonly unknown[]
      if (items.length > 0) out[member] = items.map((item) => written(field, item))
    } else if (isPresent(name, value)) out[member] = written(field, value)
  }
  return out
}

function written({ message, scalar }: NamedField, value: unknown): unknown {
  if (message !== undefined) return plain(message, value as Message)
  return scalar === 'nanos' || scalar === 'int64' ? String(value) : value
}

/** @returns undefined where the answer says nothing of the kind. */
export function parsePartialSuccess(bytes: Uint8Array): PartialSuccess | undefined {
  let answer: unknown
  try {
    answer = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
  const partial = memberOf(answer, 'partialSuccess')
  if (partial === null || typeof partial !== 'object') return undefined
  const rejected = Number(
    memberOf(partial, 'rejectedLogRecords') ?? memberOf(partial, 'rejectedSpans') ?? 0,
  )
  const message = memberOf(partial, 'errorMessage')
  return {
    rejected: Number.isSafeInteger(rejected) ? rejected : 0,
    message: typeof message === 'string' ? message : '',
  }
}

function memberOf(value: unknown, name: string): unknown {
  return value !== null && typeof value === 'object' ? Reflect.get(value, name) : undefined
}
