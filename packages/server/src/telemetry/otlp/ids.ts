/** Ids of envelopes as W3C ids: their own digits where they have the right shape, else a hash of them. */
import { hash } from 'node:crypto'

export interface MappedId {
  /** Lower-case hex; empty where the envelope has no id. */
  readonly hex: string
  /** What the envelope said, when the hex does not show it. */
  readonly original?: string
}

const NONE: MappedId = { hex: '' }

export function traceIdOf(id: string): MappedId {
  return mapped(id, 'tr_', 32, () => `aotp-trace:${id}`)
}

/** @param trace The envelope's own trace id: short span ids are unique within a trace only. */
export function spanIdOf(id: string, trace: string): MappedId {
  return mapped(id, 'sp_', 16, () => `aotp-span:${trace}:${id}`)
}

/** For comparing with records of our own, whose ids have no prefix. */
export function bareId(id: string): string {
  return id.startsWith('tr_') || id.startsWith('sp_') ? id.slice(3) : id
}

function mapped(id: string, prefix: string, digits: number, seed: () => string): MappedId {
  if (id === '') return NONE
  const bare = id.startsWith(prefix) ? id.slice(prefix.length) : id
  if (bare.length === digits && /^[0-9a-f]+$/.test(bare) && /[^0]/.test(bare)) return { hex: bare }
  return { hex: hash('sha256', seed()).slice(0, digits), original: id }
}
