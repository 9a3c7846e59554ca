/**
 * What a gateway policy may say (wire contract gateway §9.2). Strict at every level: a guard that nobody
 * reads is worse than none. Whatever passes here can be translated and compiled.
 */
import { hash } from 'node:crypto'
import { issueText } from '@vestry/contract/accept'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { domainPattern, mailDomain } from './gateway-domain.ts'
import { LinearPattern } from './text-pattern/linear-pattern.ts'
import { checkZone } from './window.ts'

const NAME = '[a-z][a-z0-9_]{0,31}'
const CALL = new RegExp(`^${NAME}:${NAME}$`)
const GRANT = new RegExp(`^(?:\\*|${NAME}:\\*|${NAME}:${NAME})$`)
/** Ours, and written into annotations and counters: larger ones are nobody's limit. */
const MOST = 1_000_000_000_000

const Bytes = z.int().min(0).max(MOST)
const Zone = z
  .string()
  .max(64)
  .refine((zone) => passes(() => checkZone(zone)), {
    error: 'must be an IANA time zone, such as Europe/Berlin or UTC',
  })
const Clock = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, { error: 'must be HH:MM' })
const Hour = z.int().min(0).max(23)
const Text = z.string().min(1).max(1_024).refine(isOneLine, { error: 'must be one line of text' })
const BlockPattern = Text.refine(
  (pattern) => !pattern.startsWith('re:') || passes(() => new LinearPattern(pattern.slice(3))),
  {
    error: 'must be a regular expression after "re:"',
  },
)
const Intent = z.string().min(1).max(128).refine(isWellFormed, { error: 'must be text' })
const Domains = z
  .array(
    z
      .string()
      .max(300)
      .refine((domain) => passes(() => domainPattern(domain)), {
        error: 'must be a domain such as example.com, with a port if need be; it covers subdomains',
      }),
  )
  .max(1_000)
const MailDomains = z
  .array(
    z
      .string()
      .max(300)
      .refine((domain) => passes(() => mailDomain(domain)), {
        error: 'must be a domain such as example.com',
      }),
  )
  .max(1_000)

export const PII_FILTERS = ['email', 'phone', 'ssn', 'credit_card'] as const

const Guards = z.strictObject({
  /** Bytes of the JSON of `params`, and of the result. */
  maxRequestSize: Bytes.optional(),
  maxResponseSize: Bytes.optional(),
  allowedDomains: Domains.optional(),
  blockedDomains: Domains.optional(),
  piiFilters: z.array(z.enum(PII_FILTERS)).max(PII_FILTERS.length).optional(),
  timeWindow: z
    .strictObject({ start: Clock.optional(), end: Clock.optional(), timezone: Zone.optional() })
    .optional(),
  http_fetch: z
    .strictObject({
      allowedDomains: Domains.optional(),
      maxResponseBytes: Bytes.optional(),
      timeoutMs: z.int().min(1).max(MOST).optional(),
    })
    .optional(),
  openai: z.strictObject({ maxTokens: z.int().min(1).max(MOST).optional() }).optional(),
  gmail_send: z
    .strictObject({
      allowedDomains: MailDomains.optional(),
      subjectMaxLen: Bytes.optional(),
      bodyMaxLen: Bytes.optional(),
    })
    .optional(),
})

const Quota = z.strictObject({
  action: z.string().regex(CALL, { error: 'must be tool:action' }),
  limit: z.int().min(0).max(MOST),
  window: z.string().regex(/^0*[1-9]\d{0,5}[smhd]$/, { error: 'must be like 30m, 24h or 7d' }),
  resetStrategy: z.enum(['sliding', 'fixed']).optional(),
})

const Schedule = z.strictObject({
  enabled: z.boolean().optional(),
  timezone: Zone.optional(),
  /** 0 is Sunday. */
  allowedDays: z.array(z.int().min(0).max(6)).min(1).max(7).optional(),
  /** Whole hours, both included. */
  allowedHours: z.strictObject({ start: Hour.optional(), end: Hour.optional() }).optional(),
})

const ResponseFilters = z.strictObject({
  redactFields: z.array(Text).max(1_000).optional(),
  truncateFields: z
    .array(z.strictObject({ field: Text, maxLength: Bytes }))
    .max(1_000)
    .optional(),
  blockPatterns: z.array(BlockPattern).max(1_000).optional(),
})

export const GatewaySpec = z.strictObject({
  scopes: z
    .array(z.string().regex(GRANT, { error: 'must be tool:action, tool:* or *' }))
    .min(1)
    .max(1_000),
  /** A call that names an intent must name one of these. */
  intent: z.union([Intent, z.array(Intent).min(1).max(100)]).optional(),
  /** A call must name an intent. */
  intentRequired: z.boolean().optional(),
  guards: Guards.optional(),
  quotas: z.array(Quota).max(1_000).optional(),
  schedule: Schedule.optional(),
  responseFilters: ResponseFilters.optional(),
})
export type GatewaySpec = z.output<typeof GatewaySpec>
export type GatewayGuards = z.output<typeof Guards>
export type GatewayFilters = z.output<typeof ResponseFilters>
export type GatewayQuota = z.output<typeof Quota>
export type GatewaySchedule = z.output<typeof Schedule>
export type TimeWindow = NonNullable<z.output<typeof Guards>['timeWindow']>

const Uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, {
  error: 'must be a UUID',
})

/** What one may change. */
const Changeable = {
  name: z.string().min(1).max(255).refine(isOneLine, { error: 'must be one line of text' }),
  description: z.string().max(4_096).optional(),
  spec: GatewaySpec,
  active: z.boolean().optional(),
}

const Document = z.strictObject({
  ...Changeable,
  agentId: Uuid.optional(),
  /** An agent by its name; only where somebody can look it up. */
  agent: z.string().min(1).max(64).optional(),
  role: z.string().min(1).max(64).optional(),
})

/** Exactly one of `agentId`, `agent` and `role` says whom it binds. */
export const GatewayDocument = Document.refine(
  ({ agentId, agent, role }) =>
    [agentId, agent, role].filter((one) => one !== undefined).length === 1,
  { error: 'exactly one of agentId and role must be given' },
)
export type GatewayDocument = z.output<typeof GatewayDocument>

export const GatewayPatch = z.strictObject({
  name: Changeable.name.optional(),
  description: Changeable.description,
  spec: GatewaySpec.optional(),
  active: Changeable.active,
})
export type GatewayPatch = z.output<typeof GatewayPatch>

/**
 * @throws VestryError `VALIDATION_ERROR`, "Validation error" (the older clients read other words as another
 *   error), with `context.details`: a `path: message` for each problem.
 */
export function acceptGateway<S extends z.ZodType>(schema: S, data: unknown): z.output<S> {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new VestryError('VALIDATION_ERROR', 'Validation error', {
    context: { details: parsed.error.issues.flatMap(details) },
    cause: parsed.error,
  })
}

/** SHA-256 hex of the canonical JSON: the same for two specs exactly when they say the same. */
export function specHash(spec: GatewaySpec): string {
  return hash('sha256', canonicalJson(spec))
}

function details(issue: z.core.$ZodIssue): string[] {
  const path = issue.path.filter((step) => typeof step !== 'symbol')
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${[...path, key].join('.')}: is not a known field`)
  }
  return [path.length === 0 ? issueText(issue) : `${path.join('.')}: ${issueText(issue)}`]
}

function isWellFormed(text: string): boolean {
  return text.isWellFormed()
}

function isOneLine(text: string): boolean {
  return text.isWellFormed() && text.trim() !== '' && !/\p{Cc}/u.test(text)
}

function passes(check: () => unknown): boolean {
  try {
    check()
    return true
  } catch (cause) {
    if (cause instanceof VestryError) return false
    throw cause
  }
}
