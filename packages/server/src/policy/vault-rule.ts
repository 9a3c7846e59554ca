/**
 * The vault's own rule format (wire contract §13.1, 13.2): its shape as written and as checked.
 * `rule-file.ts` reads files, `vault-rule-check.ts` checks, `vault-import.ts` translates to Cedar.
 */

import * as z from 'zod'
import { DAYS, type WeeklyWindow } from './window.ts'

/** A checked rule: aliases resolved, times parsed, nothing optional left in two spellings. */
export interface VaultRule {
  name: string
  description?: string
  effect: 'allow' | 'deny'
  enabled: boolean
  /** Globs over agent names, without the `agent:` prefix. */
  principals: string[]
  /** Path globs. */
  resources: string[]
  actions: string[]
  selectors: { types: string[]; tags: string[] }
  notBeforeMs?: number
  notAfterMs?: number
  /** Ignored on a deny rule, which stays in force until it is removed. */
  expiresAtMs?: number
  hours: WeeklyWindow[]
  transports: string[]
  sourceCidrs: string[]
  requireReason: boolean
  requireApproval?: string
  hosts: string[]
  methods: string[]
  contentTypes: string[]
  allowHttp: boolean
  allowRedirects: boolean
  allowAgentAuth: boolean
  headerTypes: string[]
  headerNames: string[]
  maxRequestBytes?: number
  maxResponseBytes?: number
  responseHeaders?: string[]
  onReflection?: 'block'
  pinSha256?: string[]
  algorithms: string[]
  maxDataBytes?: number
  maxTtl?: number
  defaultTtl?: number
  maxLifetime?: number
  maxUses?: number
  renewable?: boolean
  rate?: { perSecond?: number; burst?: number; perDay?: number }
}

const text = z.string().min(1, 'must not be empty')
const several = z.array(text).min(1, 'must not be empty')
const oneOrMore = z.preprocess((value) => (typeof value === 'string' ? [value] : value), several)
const count = z.int().min(1)
const bytes = z.int().min(0)

const HoursInput = z.strictObject({
  days: z.array(z.enum(DAYS)).min(1, 'must not be empty').optional(),
  from: z.string().default('00:00'),
  to: z.string().default('24:00'),
  tz: z.string('must name a time zone, such as Europe/Berlin or UTC'),
})

/** As written. Strict at every level: a misspelt limit must not be a limit that is missing. */
export const VaultRuleInput = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, {
    message: 'must be 1 to 128 letters, digits, ".", "_" or "-"',
  }),
  description: z.string().max(1024).optional(),
  effect: z.enum(['allow', 'deny']).default('allow'),
  enabled: z.boolean().default(true),
  expires_at: z.string().optional(),
  principals: oneOrMore.optional(),
  principal: oneOrMore.optional(),
  resources: oneOrMore,
  actions: oneOrMore,
  selectors: z
    .strictObject({
      type: oneOrMore.optional(),
      types: oneOrMore.optional(),
      tags: oneOrMore.optional(),
    })
    .optional(),
  conditions: z
    .strictObject({
      not_before: z.string().optional(),
      not_after: z.string().optional(),
      hours: z.union([HoursInput, z.array(HoursInput).min(1)]).optional(),
      transports: z
        .array(z.enum(['unix', 'tcp', 'http']))
        .min(1)
        .optional(),
      source_cidrs: several.optional(),
      source_cidr: text.optional(),
      require_reason: z.boolean().optional(),
    })
    .optional(),
  require_approval: z.union([z.boolean(), z.literal('operator')]).optional(),
  hosts: oneOrMore.optional(),
  methods: oneOrMore.optional(),
  content_types: oneOrMore.optional(),
  allow_http: z.boolean().optional(),
  allow_redirects: z.boolean().optional(),
  allow_agent_auth: z.boolean().optional(),
  header_types: z
    .array(z.enum(['bearer', 'api_key', 'basic', 'custom']))
    .min(1)
    .optional(),
  header_names: oneOrMore.optional(),
  max_request_bytes: bytes.optional(),
  max_response_bytes: bytes.optional(),
  response_headers_allow: oneOrMore.optional(),
  on_reflection: z.literal('block').optional(),
  pin_sha256: oneOrMore.optional(),
  algorithms: oneOrMore.optional(),
  max_data_bytes: bytes.optional(),
  max_ttl: count.optional(),
  max_lease_ttl: count.optional(),
  default_ttl: count.optional(),
  max_lifetime: count.optional(),
  max_uses: count.optional(),
  renewable: z.boolean().optional(),
  rate: z
    .strictObject({
      per_second: z.number().positive().max(1e6).optional(),
      burst: count.optional(),
      per_day: count.optional(),
    })
    .optional(),
})
export type VaultRuleInput = z.output<typeof VaultRuleInput>
