/**
 * From files an operator hands in to policies ready to store: parsed, imported, validated by Cedar in
 * strict mode and compiled once, so that what is stored can be loaded. Nothing is stored here.
 */
import { hash } from 'node:crypto'
import { extname } from 'node:path'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { type ParsedPolicy, parsePolicies, validate } from './cedar/parse.ts'
import { type CompiledPolicy, compilePolicy } from './cedar/policy.ts'
import { CEDAR_SCHEMA } from './cedar-schema.ts'
import { PolicySet } from './engine.ts'
import { readGatewayFile } from './gateway-file.ts'
import type { GatewayDocument } from './gateway-spec.ts'
import { preparePolicy } from './prepared-policy.ts'
import { parseRuleFile } from './rule-file.ts'
import { VAULT_PREFIX, vaultRuleToCedar } from './vault-import.ts'
import type { RuleLimits } from './vault-rule-check.ts'

export interface PolicyFile {
  /** For messages; its extension tells the format: `.cedar`, `.yaml`, `.yml`, `.json`. */
  name: string
  text: string
}

export interface NewPolicy {
  id: string
  format: 'cedar' | 'vault' | 'gateway'
  /** Cedar text. */
  text: string
  /** Cedar's JSON form, canonical. */
  json: string
  /** SHA-256 hex of `json`. */
  digest: string
  /** What the operator wrote, this policy's part of it. */
  source: string
  enabled: number
}

export interface ReadPolicies {
  policies: NewPolicy[]
  /** They get their ids, and their agents, where they are stored. */
  gateway: GatewayDocument[]
  warnings: string[]
}

const PORTION = 200

/** Ids under these belong to importers and to the program itself. */
const RESERVED = ['vault:', 'builtin:', 'gateway:', 'run:', 'dsl:']

/** @throws VestryError `POLICY_INVALID`, naming the file; nothing is kept then. */
export async function readPolicyFiles(
  files: readonly PolicyFile[],
  limits: RuleLimits,
): Promise<ReadPolicies> {
  const read: ReadPolicies = { policies: [], gateway: [], warnings: [] }
  const origin = new Map<string, string>()
  for (const file of files) {
    const cedar = isCedar(file)
    const documents = cedar ? undefined : readGatewayFile(file)
    if (documents !== undefined) {
      read.gateway.push(...documents)
      continue
    }
    const part = cedar ? await readCedar(file, limits) : await readRules(file, limits)
    read.warnings.push(...part.warnings)
    for (const policy of part.policies) {
      const earlier = origin.get(policy.id)
      if (earlier !== undefined) {
        const where =
          earlier === file.name ? `twice in ${earlier}` : `in ${earlier} and ${file.name}`
        throw new VestryError('POLICY_INVALID', `Policy "${policy.id}" is given ${where}`)
      }
      origin.set(policy.id, file.name)
      read.policies.push(policy)
    }
  }
  if (read.policies.length === 0 && read.gateway.length === 0)
    throw new VestryError('POLICY_INVALID', 'There is no policy to add')
  // Patterns and annotations are read at load; a policy that could not be loaded is refused now.
  new PolicySet(read.policies.map((policy, position) => ({ ...policy, enabled: 1, position })))
  return read
}

/**
 * Policies that the program itself has made, under a prefix of its own.
 * @throws VestryError `POLICY_INVALID`
 */
export async function readOwnPolicies(texts: readonly string[]): Promise<NewPolicy[]> {
  if (texts.length === 0) return []
  const parsed = await parsePolicies(texts.join('\n'))
  await validate(parsed, CEDAR_SCHEMA)
  const policies = parsed.map((policy) => ({
    ...stored(policy, 'cedar' as const),
    source: policy.text,
    enabled: 1,
  }))
  new PolicySet(policies.map((policy, position) => ({ ...policy, position })))
  return policies
}

function isCedar({ name, text }: PolicyFile): boolean {
  const extension = extname(name).toLowerCase()
  if (extension === '.cedar') return true
  if (['.yaml', '.yml', '.json'].includes(extension)) return false
  return /^(?:\s|\/\/[^\n]*\n)*(?:@[A-Za-z_]\w*|permit\s*\(|forbid\s*\()/.test(text)
}

type Part = Pick<ReadPolicies, 'policies' | 'warnings'>

async function readRules(file: PolicyFile, limits: RuleLimits): Promise<Part> {
  const { rules, warnings } = parseRuleFile(file.text, file.name, limits)
  const parsed: ParsedPolicy[] = []
  // In portions: placing each policy in its text costs time in proportion to that text.
  for (let i = 0; i < rules.length; i += PORTION) {
    const texts = rules.slice(i, i + PORTION).map(({ rule }) => vaultRuleToCedar(rule))
    parsed.push(...(await parsePolicies(texts.join('\n'))))
    await validate(parsed.slice(i), CEDAR_SCHEMA)
  }
  const byId = new Map(parsed.map((policy) => [policy.id, policy]))
  const policies = rules.flatMap(({ rule, source }) => {
    const policy = byId.get(`${VAULT_PREFIX}${rule.name}`)
    if (policy === undefined) return []
    return { ...stored(policy, 'vault'), source, enabled: rule.enabled ? 1 : 0 }
  })
  return { policies, warnings }
}

async function readCedar(file: PolicyFile, limits: RuleLimits): Promise<Part> {
  const parsed = await inFile(file.name, () => parsePolicies(file.text))
  const found = await inFile(file.name, () => validate(parsed, CEDAR_SCHEMA))
  for (const policy of parsed) checkCedar(policy, file.name, limits)
  return {
    policies: parsed.map((policy) => ({
      ...stored(policy, 'cedar'),
      source: policy.text,
      enabled: 1,
    })),
    warnings: found.map(({ policy, line, column, message }) =>
      [`${file.name}:${line ?? 1}:${column ?? 1}`, policy && `policy "${policy}"`, message]
        .filter(Boolean)
        .join(': '),
    ),
  }
}

function stored(
  { id, text, json }: ParsedPolicy,
  format: NewPolicy['format'],
): Omit<NewPolicy, 'source' | 'enabled'> {
  const canonical = canonicalJson(json)
  return { id, format, text: text.trim(), json: canonical, digest: hash('sha256', canonical) }
}

/** What a vault rule is held to, a policy written in Cedar is held to as well. */
function checkCedar({ id, json, start }: ParsedPolicy, file: string, limits: RuleLimits): void {
  const refuse = (what: string, hint: string): VestryError =>
    new VestryError(
      'POLICY_INVALID',
      `${file}:${start.line}:${start.column}: policy "${id}" ${what}`,
      {
        hint,
      },
    )
  const reserved = RESERVED.find((prefix) => id.startsWith(prefix))
  if (reserved !== undefined) {
    throw refuse(`may not have a name under "${reserved}"`, 'Choose another @id.')
  }
  const policy = compilePolicy(id, json)
  const { duties, hosts } = preparePolicy(policy)
  const maxTtl = duties.numbers.max_ttl
  if (maxTtl !== undefined && maxTtl > limits.maxTtl) {
    throw refuse(
      `has a @max_ttl above the global ${limits.maxTtl}`,
      'Lower it, or raise leases.max_ttl.',
    )
  }
  if (policy.effect === 'forbid' || limits.understood) return
  if (permitsEverything(policy)) {
    throw refuse('permits every action', 'List the actions, or confirm with --i-understand.')
  }
  if (hosts.some(({ match }) => match === 'any')) {
    const hint = 'List the hosts, or confirm with --i-understand.'
    throw refuse('lets the secret go to any host', hint)
  }
}

function permitsEverything({ scope: { action } }: CompiledPolicy): boolean {
  if (action.op === 'all') return true
  return action.op === 'in' && action.entities.some(({ id }) => id === 'vault:*')
}

async function inFile<T>(file: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    if (!(cause instanceof VestryError)) throw cause
    throw new VestryError(cause.code, `${file}: ${cause.message}`, {
      context: { ...cause.context, file },
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
      cause,
    })
  }
}
