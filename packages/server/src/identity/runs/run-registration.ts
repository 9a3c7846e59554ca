/**
 * What a run may be registered with (sage contract §8.5), and how its parts are read wherever they come from.
 * Strict: a misspelt member is an error, for the registration is what all tokens of the run are measured by.
 */
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import { randomHex } from '@vestry/contract/ids'
import { parseModelRef } from '@vestry/sdk/llm/providers'
import * as z from 'zod'
import type { Agent } from '../agent.ts'
import {
  CATEGORIES,
  type Category,
  isRunId,
  type RequesterContext,
  type Run,
  type RunBudget,
} from './run.ts'
import { parseSpiffeId } from './spiffe-id.ts'

/** Seconds. */
export const MAX_TRAT_TTL = 900
const MIN_TRAT_TTL = 1
/** Tokens count whole seconds. */
const MIN_LIFE_MS = 2_000
const DEFAULT_LIFE_MS = 86_400_000
const MAX_LIFE_MS = 30 * 86_400_000
/** Two tokens and the rest must fit into 64 KiB of headers. */
const MAX_DETAILS_BYTES = 16_384

const Text = z.string().max(2_048).refine(printable, 'must be printable text')
const Name = z.string().min(1).max(256).refine(printable, 'must be printable text')
const Ref = z.string().max(256).transform(canonicalRef)
const Refs = z.array(Ref).max(64)
const Provider = z
  .string()
  .transform((text) => text.trim().toLowerCase())
  .pipe(z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be the name of a provider'))

/** Missing categories are empty lists, as their readers take them. */
export const AllowedModels = z
  .strictObject({
    triage: Refs.default([]),
    analysis: Refs.default([]),
    reasoning: Refs.default([]),
    embeddings: Refs.default([]),
  } satisfies Record<Category, unknown>)
  .prefault({})
export const AllowedProviders = z.array(Provider).max(64)
export const AllowedTools = z.record(Name, z.array(Name).max(256))
export const Requester = z.strictObject({
  trigger: Name.optional(),
  pr_number: z.int().min(0).optional(),
  actor: Name.optional(),
  source_ip: Name.optional(),
})

export const Budget = z.strictObject({
  tokens: z.int().min(1).max(1_000_000_000_000).optional(),
  usd: z.number().min(0.000_001).max(1_000_000_000).optional(),
})

/** `scan.execute scan.upload` → its words. */
export const Scope = z
  .string()
  .max(1_024)
  .transform((text) => [...new Set(text.split(' ').filter((word) => word !== ''))])
  .pipe(
    z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be words of RFC 6749'))
      .min(1, 'must name at least one scope'),
  )

/** A time as ISO text, or in epoch seconds as tokens write it. @returns Epoch ms. */
const Moment = z.union([
  z
    .int()
    .min(0)
    .max(253_402_300_799)
    .transform((seconds) => seconds * 1_000),
  z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
])

export const RunRegistration = z.strictObject({
  run_id: z
    .string()
    .refine(isRunId, 'must be 1 to 128 letters, digits, ".", "_" or "-"')
    .optional(),
  org_id: Name,
  repo_url: Text.default(''),
  repo_ref: Text.default(''),
  agent_type: Text.default(''),
  agent_mode: Text.default('standard'),
  spiffe_id: z.string().max(2_048).optional(),
  sub: Name.optional(),
  scope: Scope.prefault('scan.execute'),
  allowed_models: AllowedModels,
  allowed_providers: AllowedProviders.default([]),
  allowed_tools: AllowedTools.default({}),
  rctx: Requester.prefault({}),
  trat_ttl_seconds: z.int().min(MIN_TRAT_TTL).max(MAX_TRAT_TTL).optional(),
  expires_at: Moment.optional(),
  budget: Budget.prefault({}),
})
export type RunRegistration = z.output<typeof RunRegistration>

export interface RegistrationPlace {
  readonly agent: Agent
  readonly trustDomain: string
  /** Below it a SPIFFE ID names its run, e.g. `/scanner/`. */
  readonly runPathPrefix: string
  readonly tratTtlSeconds: number
  readonly node: string
  readonly uid: number | undefined
  readonly nowMs: number
}

/** @throws VestryError `INVALID_PARAMS` naming the member that is wrong. */
export function newRun(given: RunRegistration, place: RegistrationPlace): Run {
  const { agent, nowMs } = place
  const id = given.run_id ?? `run_${randomHex(8)}`
  const expiresAt = given.expires_at ?? nowMs + DEFAULT_LIFE_MS
  if (expiresAt < nowMs + MIN_LIFE_MS) throw invalid('expires_at', 'must be in the future')
  if (expiresAt > nowMs + MAX_LIFE_MS) throw invalid('expires_at', 'must be within 30 days')
  assertProvidersAllowed(given)
  const tctx = {
    run_id: id,
    org_id: given.org_id,
    repo_url: given.repo_url,
    agent_type: given.agent_type,
    agent_mode: given.agent_mode,
    allowed_models: given.allowed_models,
    allowed_providers: given.allowed_providers,
    allowed_tools: given.allowed_tools,
  }
  if (Buffer.byteLength(JSON.stringify(tctx)) > MAX_DETAILS_BYTES)
    throw invalid('allowed_models, allowed_tools', `must fit into ${MAX_DETAILS_BYTES} bytes`)
  return {
    id,
    agentId: agent.id,
    spiffeId: spiffeIdOf(given.spiffe_id ?? agent.spiffeId, id, place),
    sub: given.sub ?? `org|${given.org_id}`,
    scope: given.scope,
    tctx,
    rctx: defined(given.rctx),
    repoRef: given.repo_ref,
    tratTtlSeconds: given.trat_ttl_seconds ?? place.tratTtlSeconds,
    budget: definedBudget(given.budget),
    node: place.node,
    uid: place.uid,
    state: 'open',
    createdAt: nowMs,
    expiresAt,
    closedAt: undefined,
  }
}

/** @throws VestryError `INVALID_PARAMS` */
export function readRegistration(body: unknown): RunRegistration {
  return accept(RunRegistration, body)
}

/** Without the members that are undefined, which are not the same as absent. */
export function defined(rctx: z.output<typeof Requester>): RequesterContext {
  return withoutUndefined(rctx) as RequesterContext // the same members, of the same types
}

export function definedBudget(budget: z.output<typeof Budget>): RunBudget {
  return withoutUndefined(budget) as RunBudget // as above
}

function withoutUndefined(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined))
}

function spiffeIdOf(text: string, runId: string, place: RegistrationPlace): string {
  const { agent, trustDomain, runPathPrefix } = place
  const id = parseSpiffeId(text)
  if (id === undefined) throw invalid('spiffe_id', 'must be a SPIFFE ID with a path')
  if (id.trustDomain !== trustDomain)
    throw invalid('spiffe_id', `must be in the trust domain ${trustDomain}`)
  if (id.path.startsWith('/agent/') && text !== agent.spiffeId)
    throw invalid('spiffe_id', 'is that of another agent')
  if (id.path.startsWith(runPathPrefix) && id.path.slice(runPathPrefix.length) !== runId)
    throw invalid('spiffe_id', `must end in the run id below ${runPathPrefix}`)
  return text
}

function assertProvidersAllowed(given: RunRegistration): void {
  const { allowed_providers, allowed_models } = given
  if (allowed_providers.length === 0) return
  for (const category of CATEGORIES) {
    for (const ref of allowed_models[category]) {
      if (!allowed_providers.includes(parseModelRef(ref).provider))
        throw invalid(`allowed_models.${category}`, `has ${ref}, whose provider is not allowed`)
    }
  }
}

/** `gpt-4o` → `openai:gpt-4o`: one spelling per model, so that lists can be compared. */
function canonicalRef(text: string, context: z.RefinementCtx<string>): string {
  try {
    if (/[*?]/.test(text) || !printable(text)) throw new RangeError('must be one model, no pattern')
    const { provider, model } = parseModelRef(text)
    return `${provider}:${model}`
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    context.addIssue({ code: 'custom', message, input: text })
    return z.NEVER
  }
}

function printable(text: string): boolean {
  return /^[^\p{C}]*$/u.test(text)
}

function invalid(member: string, problem: string): VestryError {
  return new VestryError('INVALID_PARAMS', `${member}: ${problem}`)
}
