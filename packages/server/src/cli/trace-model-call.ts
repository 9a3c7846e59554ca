/** What the tree of `vestry trace` tells of a call of a model, a line each. Pure. */
import { cellText, type Row, rowOf } from './cell.ts'
import { dollars } from './trace-text.ts'

/** The status of such a call is what its caller was answered, whoever made it up. */
export function isModelCall(span: Row): boolean {
  return typeof rowOf(span, 'data')['route'] === 'string'
}

/** Which model and for what, what it used and cost, and where the answer came from. */
export function modelLines(span: Row): string[] {
  const data = rowOf(span, 'data')
  const outcome = rowOf(span, 'outcome')
  const { provider, model, category, org, stream } = data
  if (typeof provider !== 'string' || typeof model !== 'string') return []
  return [
    line('model', [
      `${cellText(provider)}:${cellText(model)}`,
      typeof category === 'string' && category !== 'unspecified' ? cellText(category) : undefined,
      typeof org === 'string' ? `org ${cellText(org)}` : undefined,
      stream === true ? 'stream' : undefined,
    ]),
    line('usage', usage(outcome)),
    line('provider', [cause(outcome), providerStatus(outcome)]),
    line('answer', [
      outcome['mock'] === true ? 'from the mock' : undefined,
      outcome['replayed'] === true ? 'given again' : undefined,
      outcome['truncated'] === true ? 'cut short' : undefined,
    ]),
  ].filter((text) => text !== '')
}

/** A call that failed before the provider did anything. */
export function usedNothing(outcome: Row): boolean {
  const { code, cost_micros: cost } = outcome
  return code !== 'OK' && cost === 0 && rowOf(outcome, 'usage')['total'] === 0
}

/** `9 in + 6 out = 15 tokens  $0.000117  stop` */
function usage(outcome: Row): (string | undefined)[] {
  const { prompt, completion, total } = rowOf(outcome, 'usage')
  const { cost_micros: cost, finish_reason: finish, usage_estimated: guessed, price } = outcome
  if (usedNothing(outcome)) return []
  return [
    typeof total === 'number'
      ? `${cellText(prompt)} in + ${cellText(completion ?? 0)} out = ${total} tokens`
      : undefined,
    guessed === true ? 'estimated' : undefined,
    typeof cost === 'number' ? dollars(cost) : undefined,
    price === 'unknown' ? 'price not known' : undefined,
    typeof finish === 'string' ? cellText(finish) : undefined,
  ]
}

/** What failed on the way to the provider, where that is not what the caller was told. */
function cause({ cause: found, code }: Row): string | undefined {
  return typeof found === 'string' && found !== code ? cellText(found) : undefined
}

/** Told where it is not what the caller was answered. */
function providerStatus({ provider_status: status, status: answered }: Row): string | undefined {
  return typeof status === 'number' && status !== answered ? `answered ${status}` : undefined
}

/** Empty when there is nothing to tell. */
function line(label: string, parts: readonly (string | undefined)[]): string {
  const told = parts.filter((part) => part !== undefined)
  return told.length === 0 ? '' : [label, ...told].join('  ')
}
