/** What a collector says on the queue socket. Anything else is no collector's word. */

export type Answer =
  | {
      readonly type: 'welcome'
      readonly acknowledges: boolean
      readonly lastSeq: number
      readonly maxLineBytes: number | undefined
    }
  | { readonly type: 'ack'; readonly seq: number; readonly rejected: number }
  | { readonly type: 'flushed'; readonly seq: number }

export function parseAnswer(line: string): Answer | undefined {
  let told: unknown
  try {
    told = JSON.parse(line)
  } catch {
    return undefined
  }
  if (typeof told !== 'object' || told === null) return undefined
  const { type, ack, last_seq, max_line, seq, rejected } = told as Record<string, unknown>
  switch (type) {
    case 'aot_welcome':
      return {
        type: 'welcome',
        acknowledges: ack === true,
        lastSeq: count(last_seq),
        maxLineBytes: count(max_line) || undefined,
      }
    case 'aot_ack':
      return {
        type: 'ack',
        seq: count(seq),
        rejected: Array.isArray(rejected) ? rejected.length : 0,
      }
    case 'aot_flushed':
      return { type: 'flushed', seq: count(seq) }
    default:
      return undefined
  }
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0
}
