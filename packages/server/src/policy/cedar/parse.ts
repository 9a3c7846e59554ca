/**
 * Cedar text in, JSON form out, and strict validation against a schema. The only place that loads
 * Cedar's own WebAssembly, and only when called: a daemon that starts from stored policies never
 * does.
 */

import { createRequire } from 'node:module'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DetailedError, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import { VestryError } from '@vestry/contract/errors'
import { compilePolicy } from './policy.ts'
import { advance, type Position, positionAt, START } from './source-position.ts'

/** Stored JSON forms are good for this version of Cedar; a test compares it with the package. */
export const CEDAR_VERSION = '4.13.0'

type Cedar = typeof import('@cedar-policy/cedar-wasm/nodejs')

const require = createRequire(import.meta.url)
const PACKAGE = '@cedar-policy/cedar-wasm/nodejs'

/** `require` and not `import`, because {@link guarded} must be able to load it afresh. */
export function loadCedar(): Cedar {
  return require(PACKAGE) as Cedar // the package's own types describe it
}

export interface ParsedPolicy {
  /** From `@id("…")`. */
  readonly id: string
  /** As written, comments inside included. */
  readonly text: string
  /** Cedar's JSON policy form. */
  readonly json: unknown
  /** Without a prototype. Null for an annotation that has no value. */
  readonly annotations: Readonly<Record<string, string | null>>
  /** Where it starts in the text it was parsed from. */
  readonly start: Position
}

/** What is wrong, and where if Cedar says so. Sent as `context.problems` of the error. */
export interface PolicyProblem {
  policy?: string
  line?: number
  column?: number
  message: string
  hint?: string
}

/**
 * Parses a file of policies. Each must carry its own `@id`: Cedar's generated names change when a
 * policy is inserted, and audit records outlive that.
 *
 * @returns The policies in source order; each is known to compile.
 * @throws VestryError `POLICY_INVALID` with `context.problems: PolicyProblem[]`.
 */
export async function parsePolicies(text: string): Promise<ParsedPolicy[]> {
  const source = text.startsWith('\ufeff') ? text.slice(1) : text
  const cedar = loadCedar()
  const parts = guarded(source, () => cedar.policySetTextToParts(source))
  if (parts.type === 'failure') throw invalid(parts.errors.flatMap((one) => problems(one, source)))
  if (parts.policy_templates.length > 0) {
    const [message, hint] = ['templates are not supported', 'Write one policy for each case.']
    throw invalid([{ message, hint }])
  }
  const ids = new Set<string>()
  const policies: ParsedPolicy[] = []
  for (const { text, start } of place(source, inSourceOrder(parts.policies))) {
    if (policies.length % 50 === 49) await nextTurn() // each takes about 0.2 ms: let others run
    const json = toJson(text, start)
    const id = json.annotations?.['id']
    if (typeof id !== 'string' || id === '') {
      throw invalid([{ ...start, message: 'the policy has no name', hint: 'Begin with @id("…").' }])
    }
    if (ids.has(id)) throw invalid([{ ...start, message: `a second policy is named "${id}"` }])
    ids.add(id)
    policies.push({ id, text, json, annotations: annotationsOf(id, json, start), start })
  }
  return policies
}

/** Compiles, so that a policy which cannot be evaluated is refused where it is written. */
function annotationsOf(id: string, json: unknown, start: Position): ParsedPolicy['annotations'] {
  try {
    return compilePolicy(id, json).annotations
  } catch (cause) {
    if (!(cause instanceof VestryError)) throw cause
    const { message, hint } = cause
    throw invalid([{ policy: id, ...start, message, ...(hint !== undefined && { hint }) }])
  }
}

/**
 * Validates in strict mode: unknown types and attributes, unguarded optional ones, wrong types.
 *
 * @param policies `start` is where the text begins in its file; left out, lines count from 1.
 * @returns Warnings, for example of a policy that can never apply.
 * @throws VestryError `POLICY_INVALID` with `context.problems: PolicyProblem[]`; `CONFIG_INVALID`
 *   if the schema itself is wrong.
 */
export async function validate(
  policies: readonly { id: string; text: string; start?: Position }[],
  schemaText: string,
): Promise<PolicyProblem[]> {
  const cedar = loadCedar()
  const schema = guarded(schemaText, () => cedar.checkParseSchema(schemaText))
  if (schema.type === 'failure') {
    const found = schema.errors.flatMap((one) => problems(one, schemaText))
    throw new VestryError('CONFIG_INVALID', `Policy schema: ${found.map(describe).join('; ')}`)
  }
  const byId = new Map(policies.map((policy) => [policy.id, policy]))
  const answer = guarded(policies.map(({ text }) => text).join('\n'), () =>
    cedar.validate({
      validationSettings: { mode: 'strict' },
      schema: schemaText,
      policies: {
        staticPolicies: Object.fromEntries(policies.map(({ id, text }) => [id, text])),
      },
    }),
  )
  if (answer.type === 'failure') throw invalid(answer.errors.flatMap((one) => problems(one, '')))
  const located = ({ policyId, error }: { policyId: string; error: DetailedError }) => {
    const policy = byId.get(policyId)
    const found = problems(error, policy?.text ?? '', policy?.start)
    return found.map((problem) => ({ policy: policyId, ...problem }))
  }
  if (answer.validationErrors.length > 0) throw invalid(answer.validationErrors.flatMap(located))
  return answer.validationWarnings.flatMap(located)
}

/** Cedar text for a policy in its JSON form, e.g. one that an importer built. */
export async function policyText(json: unknown): Promise<string> {
  const cedar = loadCedar()
  const policy = json as PolicyJson // the call itself checks the shape and says what is wrong
  const answer = guarded('', () => cedar.policyToText(policy))
  if (answer.type === 'failure') throw invalid(answer.errors.flatMap((one) => problems(one, '')))
  return answer.text
}

function toJson(text: string, start: Position): PolicyJson {
  const cedar = loadCedar() // anew for each: another caller may have broken the last instance
  const answer = guarded(text, () => cedar.policyToJson(text))
  if (answer.type === 'success') return answer.json
  throw invalid(answer.errors.flatMap((one) => problems(one, text, start)))
}

/**
 * The package throws on what it cannot begin to read, and overflows its stack on deep nesting.
 * After that its memory is not to be trusted: the next call gets a new instance.
 */
function guarded<T>(text: string, call: () => T): T {
  if (!text.isWellFormed()) throw invalid([{ message: 'the text holds an unpaired surrogate' }])
  try {
    return call()
  } catch (cause) {
    delete require.cache[require.resolve(PACKAGE)]
    throw new VestryError('POLICY_INVALID', 'Cedar could not read the policy', {
      hint: 'Look for very deep nesting or a very long chain of operators.',
      cause,
    })
  }
}

/** The package names parts policy0, policy1 … and sorts by that name, so policy10 before policy2. */
function inSourceOrder(parts: readonly string[]): string[] {
  const order = parts.map((_, index) => index)
  order.sort((a, b) => (`${a}` < `${b}` ? -1 : 1))
  const ordered: string[] = []
  order.forEach((index, position) => {
    ordered[index] = parts[position] ?? ''
  })
  return ordered
}

/** Between two policies there is only white space and comments, so each is found exactly. */
function place(source: string, parts: readonly string[]): { text: string; start: Position }[] {
  const gap = /(?:\s|\/\/[^\n]*)*/y
  let offset = 0
  let position = START
  return parts.map((text) => {
    gap.lastIndex = offset
    const skipped = gap.exec(source)?.[0] ?? ''
    const start = advance(position, skipped)
    offset += skipped.length
    if (!source.startsWith(text, offset)) {
      throw new VestryError('INTERNAL_ERROR', 'A parsed policy is not where it was expected')
    }
    offset += text.length
    position = advance(start, text)
    return { text, start }
  })
}

function problems(error: DetailedError, text: string, start?: Position): PolicyProblem[] {
  const [location] = error.sourceLocations ?? []
  const message = location?.label ? `${error.message}; ${location.label}` : error.message
  const found: PolicyProblem = { message: message.replace(PREAMBLE, '') }
  if (location !== undefined && text !== '') {
    Object.assign(found, positionAt(text, location.start, start))
  }
  if (error.help) found.hint = error.help
  const related = (error.related ?? []).flatMap((one) => problems(one, text, start))
  return [found, ...related].sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
}

const PREAMBLE =
  /^(?:failed to parse (?:policy|policies)(?: with id `[^`]*`)? from string: |for policy `[^`]*`, )/

function invalid(found: readonly PolicyProblem[]): VestryError {
  const hint = found.find((problem) => problem.hint !== undefined)?.hint
  return new VestryError('POLICY_INVALID', found.map(describe).join('; '), {
    context: { problems: found },
    ...(hint !== undefined && { hint }),
  })
}

function describe({ policy, line, column, message }: PolicyProblem): string {
  const where = line === undefined ? '' : `line ${line}, column ${column}: `
  return `${policy === undefined ? '' : `policy "${policy}", `}${where}${message}`
}
