/** How an attack is written down: only what makes it one; the rest is ordinary. */
import type { TokenObject } from '../../../../json/raw-number.ts'
import type { Severity } from '../../finding.ts'
import type { RuleExample, Surroundings } from '../../rule.ts'
import type { AttackTool } from '../entry.ts'

interface Written {
  readonly name?: string
  readonly description?: string
  /** Properties of the schema, none of them required. */
  readonly takes?: TokenObject
  /** The whole schema, in place of `takes`. */
  readonly schema?: TokenObject
  readonly provider?: RuleExample['tool']['provider']
  readonly around?: Partial<Surroundings>
  readonly by: readonly string[]
  readonly atLeast: Severity
}

export const PROVIDER = {
  name: 'tools.example.com',
  public_key_url: 'https://tools.example.com/.well-known/schemapin.json',
}

export function attacks(family: string, written: Readonly<Record<string, Written>>): AttackTool[] {
  return Object.entries(written).map(([id, one]) => ({
    id: `${family}/${id}`,
    tool: {
      name: one.name ?? 'get_forecast',
      description: one.description ?? 'Returns the forecast for a town, day by day.',
      schema: one.schema ?? { type: 'object', properties: one.takes ?? TOWN, required: [] },
      provider: one.provider ?? PROVIDER,
    },
    ...(one.around !== undefined && { around: one.around }),
    caughtBy: one.by,
    atLeast: one.atLeast,
  }))
}

export const TOWN: TokenObject = { town: said('Name of the town.') }

/** A harmless parameter with something said of it. */
export function said(description: string, more: TokenObject = {}): TokenObject {
  return { type: 'string', description, maxLength: 80, pattern: '^[A-Za-z -]{1,80}$', ...more }
}

/** Any text at all. */
export function free(description: string, more: TokenObject = {}): TokenObject {
  return { type: 'string', description, ...more }
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
