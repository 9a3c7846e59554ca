/** What a metric and its labels may be called. Refuses labels that would publish who holds what. */
import { VestryError } from '@vestry/contract/errors'

const METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/
export const MAX_LABELS = 4

/**
 * `/metrics` is readable without a key on loopback, so names of agents, credentials and sessions, and
 * anything derived from a secret, are no labels.
 */
const CONFIDENTIAL = new Set([
  'agent',
  'agent_id',
  'agent_name',
  'api_key',
  'credential',
  'fingerprint',
  'key',
  'key_id',
  'lease',
  'lease_id',
  'operator',
  'password',
  'path',
  'secret',
  'session',
  'session_id',
  'token',
  'txn',
  'url',
  'value',
])

/** @throws VestryError `INTERNAL_ERROR`: a wrong name is our mistake, found at start. */
export function assertNames(metric: string, labels: readonly string[]): void {
  if (!METRIC.test(metric)) throw wrong(`"${metric}" is no metric name`)
  if (labels.length > MAX_LABELS) throw wrong(`${metric} has more than ${MAX_LABELS} labels`)
  if (new Set(labels).size !== labels.length) throw wrong(`${metric} repeats a label`)
  for (const label of labels) {
    // The text format gives these two to histograms and summaries.
    if (!LABEL.test(label) || label === 'le' || label === 'quantile')
      throw wrong(`"${label}" is no label name`)
    if (CONFIDENTIAL.has(label)) throw wrong(`label "${label}" would publish a confidential name`)
  }
}

/** `{a="x",b="y"}`, or nothing without labels; `le` comes last. */
export function renderLabels(
  names: readonly string[],
  values: readonly string[],
  le?: string,
): string {
  const pairs = names.map((name, i) => `${name}="${escapeValue(values[i] ?? '')}"`)
  if (le !== undefined) pairs.push(`le="${le}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

export function escapeHelp(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')
}

/** A lone surrogate has no UTF-8 form, which a scraper would reject with the whole page. */
function escapeValue(text: string): string {
  return escapeHelp(text.toWellFormed()).replace(/"/g, '\\"')
}

export function renderNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}

function wrong(what: string): VestryError {
  return new VestryError('INTERNAL_ERROR', `Metric definition: ${what}`)
}
