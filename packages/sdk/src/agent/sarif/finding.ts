/**
 * What an agent found and where: plain data with defaults filled in. `fromObject` takes what a model or the
 * Python SDK would write, with names in snake_case or camelCase.
 */
import { ValidationError } from '../../sage/errors.ts'
import type { Confidence, Severity } from './severity.ts'

/** Lines and columns count from 1; 0 stands for unknown. */
export interface LocationInput {
  readonly file: string
  readonly startLine?: number
  readonly endLine?: number
  readonly startColumn?: number
  /** The column after the last character. */
  readonly endColumn?: number
}

export class Location {
  /** Relative to the repository, or absolute inside of it. */
  readonly file: string
  readonly startLine: number
  readonly endLine: number
  readonly startColumn: number
  readonly endColumn: number

  /** @throws ValidationError naming the member that has the wrong type. */
  constructor(input: LocationInput) {
    const read = reader('location', input)
    this.file = read.text('file')
    this.startLine = read.integer('startLine')
    this.endLine = read.integer('endLine')
    this.startColumn = read.integer('startColumn')
    this.endColumn = read.integer('endColumn')
  }

  static fromObject(value: unknown): Location {
    return new Location(camelCased('location', value) as unknown as LocationInput)
  }
}

export interface FindingInput {
  /** The rule: findings of one kind share it. */
  readonly id: string
  readonly title: string
  readonly description: string
  /** One of {@link Severity}; another word counts as `medium`. */
  readonly severity: Severity | (string & {})
  readonly location: LocationInput
  /** `CWE-79` or `79`. */
  readonly cwe?: string
  readonly remediation?: string
  readonly confidence?: Confidence | (string & {})
  /** JSON. */
  readonly metadata?: Readonly<Record<string, unknown>>
}

export class Finding {
  readonly id: string
  readonly title: string
  readonly description: string
  readonly severity: string
  readonly location: Location
  readonly cwe: string
  readonly remediation: string
  readonly confidence: string
  readonly metadata: Readonly<Record<string, unknown>>

  /** @throws ValidationError naming the member that is missing or has the wrong type. */
  constructor(input: FindingInput) {
    const read = reader('finding', input)
    this.id = read.text('id')
    this.title = read.text('title')
    this.description = read.text('description')
    this.severity = read.text('severity')
    this.cwe = read.text('cwe', '')
    this.remediation = read.text('remediation', '')
    this.confidence = read.text('confidence', 'medium')
    this.metadata = record('finding.metadata', input.metadata ?? {})
    const { location } = input
    this.location = location instanceof Location ? location : new Location(location)
  }

  static fromObject(value: unknown): Finding {
    const { location, ...rest } = camelCased('finding', value)
    const input = { ...rest, location: Location.fromObject(location) }
    return new Finding(input as unknown as FindingInput)
  }
}

export interface TokenUsageInput {
  readonly model: string
  readonly promptTokens?: number
  readonly completionTokens?: number
  readonly totalTokens?: number
}

export class TokenUsage {
  readonly model: string
  readonly promptTokens: number
  readonly completionTokens: number
  readonly totalTokens: number

  /** @throws ValidationError naming the member that is missing or has the wrong type. */
  constructor(input: TokenUsageInput) {
    const read = reader('token usage', input)
    this.model = read.text('model')
    this.promptTokens = read.integer('promptTokens')
    this.completionTokens = read.integer('completionTokens')
    this.totalTokens = read.integer('totalTokens')
  }

  static fromObject(value: unknown): TokenUsage {
    return new TokenUsage(camelCased('token usage', value) as unknown as TokenUsageInput)
  }
}

function reader(what: string, input: unknown) {
  const members = record(what, input)
  return {
    text(name: string, standard?: string): string {
      const value = members[name] ?? standard
      if (typeof value === 'string') return value
      throw new ValidationError(`${what}.${name} must be text`)
    },
    integer(name: string): number {
      const value = members[name] ?? 0
      if (Number.isSafeInteger(value)) return value as number
      throw new ValidationError(`${what}.${name} must be an integer`)
    },
  }
}

function record(what: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw new ValidationError(`${what} must be an object`)
}

/** Only the names of members: what is in them, metadata above all, stays as it is. */
function camelCased(what: string, value: unknown): Record<string, unknown> {
  const renamed = Object.entries(record(what, value)).map(([name, member]) => [
    name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    member,
  ])
  return Object.fromEntries(renamed)
}
