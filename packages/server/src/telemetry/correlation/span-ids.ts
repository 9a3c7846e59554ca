/**
 * Ids of spans in one spelling. Agents write `tr_` and `sp_` before theirs, Vestry's own records hold them as the
 * W3C header does, and ids that are no W3C ids stand for a digest there. Pure.
 */
import { hash } from 'node:crypto'

const TRACE = /^(?!0{32})[0-9a-f]{32}$/
const SPAN = /^(?!0{16})[0-9a-f]{16}$/

/** 32 hex digits; empty for none. */
export function traceKey(id: string): string {
  if (id === '') return ''
  const bare = id.startsWith('tr_') ? id.slice(3) : id
  return TRACE.test(bare) ? bare : hash('sha256', `aotp-trace:${id}`).slice(0, 32)
}

/**
 * 16 hex digits; empty for none.
 *
 * @param trace The id of its trace, as the same record says it.
 */
export function spanKey(id: string, trace: string): string {
  if (id === '') return ''
  const bare = id.startsWith('sp_') ? id.slice(3) : id
  return SPAN.test(bare) ? bare : hash('sha256', `aotp-span:${trace}:${id}`).slice(0, 16)
}

/** Tells spans of different traces apart. */
export function fullKey(trace: string, span: string): string {
  return span === '' ? '' : `${traceKey(trace)}:${spanKey(span, trace)}`
}
