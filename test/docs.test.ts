import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { ERRORS, type ErrorCode, VestryError } from '../packages/contract/src/errors.ts'
import { createErrorFromResponse } from '../packages/sdk/src/gateway/response-error.ts'
import * as sage from '../packages/sdk/src/sage/errors.ts'
import { errorBody, errorOf } from '../packages/sdk/src/sage/http/answer-error.ts'
import { Config } from '../packages/server/src/app/config.ts'
import { inOurWords } from '../packages/server/src/cli/aliases.ts'
import { createProgram } from '../packages/server/src/cli/program.ts'
import { ERROR_CODES, WARNING_CODES } from '../packages/server/src/dsl/diagnostic.ts'
import { denialOf, errorReply } from '../packages/server/src/gateway/wire/error-body.ts'
import { CHALLENGE_SECONDS } from '../packages/server/src/identity/challenge.ts'
import { OPERATOR_ROLES } from '../packages/server/src/identity/operator.ts'
import { errorText, wireError } from '../packages/server/src/llm/wire/error-body.ts'
import { OPERATIONS } from '../packages/server/src/policy/actions.ts'
import { BUILTIN_POLICIES } from '../packages/server/src/policy/builtin-json.ts'
import { CEDAR_SCHEMA } from '../packages/server/src/policy/cedar-schema.ts'
import { acceptGateway, GatewayDocument } from '../packages/server/src/policy/gateway-spec.ts'
import { parseDuties } from '../packages/server/src/policy/obligations.ts'
import { readPolicyFiles } from '../packages/server/src/policy/policy-file.ts'
import { VaultRuleInput } from '../packages/server/src/policy/vault-rule.ts'
import { VERIFICATION_CODES } from '../packages/server/src/review/pins/unverified.ts'
import { readInputConfig } from '../packages/server/src/runtime/http-input/input-config.ts'
import { problemOf } from '../packages/server/src/runtime/wire/problem.ts'
import { readBackendConfig } from '../packages/server/src/secrets/backend-config.ts'
import {
  CREDENTIAL_TYPES,
  CredentialSettings,
  MAX_VALUE_BYTES,
} from '../packages/server/src/vault/credential.ts'
import {
  DEFAULT_AGENT_REQUESTS,
  DEFAULT_AUTHENTICATE,
} from '../packages/server/src/vault/vault-limits.ts'
import { MAX_REPLY_BYTES } from '../packages/server/src/vault/wire/reply.ts'
import { DEFAULT_WIRE_LIMITS } from '../packages/server/src/vault/wire/wire-limits.ts'
import { rulesTable } from './docs/rules-table.ts'
import { settings, settingsTable } from './docs/settings-table.ts'

const ROOT = resolve(import.meta.dirname, '..')
const PAGES = pages()
/** Pages about this program; `docs/api` is about the client, which has a test of its own. */
const OURS = PAGES.filter((page) => !page.startsWith('docs/api/'))

test('every policy in the documentation is accepted, every configuration read', async () => {
  let policies = 0
  for (const page of OURS) {
    for (const text of yamlBlocks(read(page))) {
      const [document] = parseAllDocuments(text)
      const data: unknown = document?.toJS()
      if (isPolicy(data)) {
        const file = { name: page, text }
        const found = await readPolicyFiles([file], { maxTtl: 86_400, understood: false })
        expect(found.warnings, text).toEqual([])
        policies += 1
      } else if (isBackend(data)) {
        readBackendConfig(data, { dataDir: '/home', hasMasterKey: false })
      } else if (isInput(data)) {
        readInputConfig(data)
      } else expect(Config.safeParse(data).error?.issues ?? [], `${page}:\n${text}`).toEqual([])
    }
    for (const text of fences(read(page), 'cedar')) {
      await readPolicyFiles([{ name: 'page.cedar', text }], { maxTtl: 86_400, understood: false })
      policies += 1
    }
  }
  expect(policies).toBeGreaterThanOrEqual(6)
})

test('every command and option in the documentation exists', () => {
  const program = commandLine()
  const commands = OURS.flatMap((page) => commandsOf(page).map((words) => ({ page, words })))
  expect(commands.length).toBeGreaterThan(60)
  const wrong = commands.flatMap(({ page, words }) =>
    complaints(program, words).map((what) => `${page}: vestry ${words.join(' ')}: ${what}`),
  )
  expect(wrong).toEqual([])
})

test('the check of commands finds what does not exist', () => {
  const program = commandLine()
  expect(complaints(program, ['agent', 'bless', 'scout'])).not.toEqual([])
  expect(complaints(program, ['agent', 'add', 'scout', '--colour'])).not.toEqual([])
  expect(complaints(program, ['seal', 'twice'])).not.toEqual([])
  expect(complaints(program, ['cred', 'add', 'a/b', '--host', 'x', '--use-only'])).toEqual([])
})

test('every command the program has is shown somewhere', () => {
  const program = commandLine()
  const shown = new Set(OURS.flatMap(commandsOf).map((given) => walk(program, given).name))
  expect(leaves(program).filter((name) => !shown.has(name))).toEqual([])
})

test('every link leads somewhere', () => {
  const broken: string[] = []
  for (const page of PAGES) {
    for (const [, target = ''] of withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? page : relative(ROOT, resolve(ROOT, dirname(page), path))
      if (!existsSync(join(ROOT, file))) broken.push(`${page} → ${target}`)
      else if (anchor !== undefined && !anchors(read(file)).includes(anchor))
        broken.push(`${page} → ${target} (no such heading)`)
    }
  }
  expect(broken).toEqual([])
})

test('the table of settings is the schema’s', () => {
  const page = 'docs/operations.md'
  const text = read(page)
  const [all = '', opening = '', , closing = ''] =
    /(<!-- settings:[^>]*-->\n)([\s\S]*?)(<!-- \/settings -->)/.exec(text) ?? []
  expect(opening).not.toBe('')
  const wanted = text.replace(all, () => `${opening}\n${settingsTable()}\n\n${closing}`)
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(join(ROOT, page), wanted)
  else expect(text).toBe(wanted)
})

test('the table of review rules is the rules’', () => {
  const page = 'docs/review-rules.md'
  const text = read(page)
  const [all = '', opening = '', , closing = ''] =
    /(<!-- rules:[^>]*-->\n)([\s\S]*?)(<!-- \/rules -->)/.exec(text) ?? []
  expect(opening).not.toBe('')
  const wanted = text.replace(all, () => `${opening}\n${rulesTable()}\n\n${closing}`)
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(join(ROOT, page), wanted)
  else expect(text).toBe(wanted)
})

test('settings that pages name exist, and defaults beside them are the schema’s', () => {
  const known = new Map(settings().map((setting) => [setting.key, setting.default]))
  const sections = new Set([...known.keys()].map((key) => key.split('.')[0]))
  const wrong: string[] = []
  for (const page of OURS) {
    for (const line of read(page).split('\n')) {
      for (const [, key = '', section = ''] of line.matchAll(/`(([a-z]+)\.[a-z_]+)[`:]/g)) {
        if (sections.has(section) && !known.has(key) && !isOther(key))
          wrong.push(`${page}: ${key} is no setting`)
        const number = numberBeside(line)
        const standard = known.get(key)
        if (number !== undefined && typeof standard === 'number' && number !== standard)
          wrong.push(`${page}: ${key} is ${standard}, not ${number}`)
      }
      for (const [, name = ''] of line.matchAll(/\bVESTRY_([A-Z]+_[A-Z_]*[A-Z])\b/g)) {
        const key = name.toLowerCase().replace('_', '.')
        if (!known.has(key) && name !== 'PASSPHRASE_FILE')
          wrong.push(`${page}: VESTRY_${name} sets nothing`)
      }
    }
  }
  expect(wrong).toEqual([])
})

test('the limits that vault.md names are the code’s', () => {
  const text = section(read('docs/vault.md'), 'Limits')
  const defaults = new Map(settings().map((setting) => [setting.key, Number(setting.default)]))
  const of = (key: string) => defaults.get(`vault.${key}`) ?? Number.NaN
  for (const line of [
    `| value | ${spaced(MAX_VALUE_BYTES)} bytes |`,
    `| frame | ${spaced(MAX_REPLY_BYTES)} bytes both ways (\`vault.max_request_bytes\` inbound); ${spaced(DEFAULT_WIRE_LIMITS.maxRequestBytesUnauthenticated)} before authentication; JSON nesting 32 |`,
    `| requests in execution | ${of('inflight_per_connection')} per connection, ${of('requests_in_flight')} in all; \`http_request\` ${of('http_requests_per_agent')} per agent |`,
    `| requests | ${DEFAULT_AGENT_REQUESTS.perSecond}/s with bursts of ${DEFAULT_AGENT_REQUESTS.burst} per agent; logins ${DEFAULT_AUTHENTICATE.perSecond}/s, ${DEFAULT_AUTHENTICATE.burst} per source |`,
    `| leases | ${spaced(of('leases_per_agent'))} per agent, ${spaced(of('leases_total'))} in all |`,
    `| connections | ${of('connections')}; ${of('connections_per_tcp_source')} per TCP address; ${of('connections_unauthenticated')} not yet authenticated, which have ${DEFAULT_WIRE_LIMITS.authenticateWithinMs / 1000} s |`,
  ]) {
    expect(text).toContain(line)
  }
  expect(of('max_request_bytes')).toBe(MAX_REPLY_BYTES)
  expect(read('docs/identity.md')).toContain(`| challenge | ${CHALLENGE_SECONDS} s, one attempt |`)
  expect(settingsTable()).toContain(
    `| ${DEFAULT_AGENT_REQUESTS.perSecond}/s, burst ${DEFAULT_AGENT_REQUESTS.burst} |`,
  )
  expect(settingsTable()).toContain(
    `| ${DEFAULT_AUTHENTICATE.perSecond}/s, burst ${DEFAULT_AUTHENTICATE.burst} |`,
  )
})

/** In capitals like a code, and none. */
const OTHER_WORDS =
  /^(?:OK|SYMBIONT_.*|INTERRUPTED|UNKNOWN|POST|PATCH|DELETE|PORT|POLICY_|SIGNING_SECRET|SECRETS_BACKEND|KEK_BASE64|GATEWAY_URL|AGENT_ID|AGENT_PRIVATE_KEY|(?:RUN|ORG)_ID|REPO_[A-Z]+|OUTPUT_PATH|WORK_DIR|SAGE_.*|SCAN_MAX_FILES|SPIFFE_JWT_PATH|TRAT_FILE|AUTH_SIDECAR_SOCKET|LLM_GATEWAY_SOCKET|ENVPOD_.*|(?:OPENAI|ANTHROPIC|GOOGLE)_(?:API_KEY|BASE_URL|MODEL)|INTACT|BROKEN|TRUNCATED|UNREADABLE|REDACTED|VESTRY_.*|NODE_.*|AWS_.*|UPDATE_DOCS|TMPDIR|GET|NAME|KEYID|TXN|ID|FILE|DIR|HOST|PATH|TE|COMMIT|ROLLBACK)$/

/** What is wrong with a signature; an answer, not an error. */
const VERDICTS: ReadonlySet<string> = new Set(VERIFICATION_CODES)

/** What is wrong with a program; an answer, too. */
const DIAGNOSTICS: ReadonlySet<string> = new Set([...ERROR_CODES, ...WARNING_CODES])

/** A reason of the gateway's refusals, with or without what the wire puts before it. */
function isRefusal(word: string): boolean {
  const reason = word.replace(/^POLICY_/, '')
  return denialOf(refusal(reason)) === reason
}

const refusal = (reason: string): VestryError =>
  new VestryError('ACCESS_DENIED', 'denied', { context: { tool: 'x', reason_code: reason } })

test('the gateway’s table of errors says what the wire answers and what the client makes of it', () => {
  /** Wire code → statuses; a refused bearer is told apart from an id that nobody has. */
  const answers = new Map<string, Set<number>>()
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const { status, body } = errorReply(new VestryError(code), 'req_1', { denialStatus: 400 })
    const name = String(body['code'])
    answers.set(name, (answers.get(name) ?? new Set()).add(status))
  }
  const rows = [
    ...section(read('docs/gateway.md'), 'Errors').matchAll(/^\| (\d{3}) \| (.+) \| `(\w+)` \|$/gm),
  ]
  expect(rows.length).toBeGreaterThan(10)
  for (const [, status = '', codes = '', name = ''] of rows) {
    const isPolicy = codes.startsWith('`POLICY_`')
    for (const [, code = ''] of codes.matchAll(/`([A-Z][A-Z_]+[A-Z])`/g)) {
      const thrown = isPolicy ? refusal(code) : undefined
      const body = thrown && errorReply(thrown, 'req_1', { denialStatus: 400 }).body
      if (isPolicy) expect(isRefusal(code) || code === 'APPROVAL_REQUIRED', code).toBe(true)
      else expect([...(answers.get(code) ?? [])], code).toContain(Number(status))
      const made = createErrorFromResponse(Number(status), body ?? { error: 'x', code })
      expect(made.constructor.name, code).toBe(name)
    }
  }
})

test('the table of errors of models says what the wire answers and what the client makes of it', () => {
  const rows = [
    ...section(read('docs/llm.md'), 'Errors').matchAll(/^\| (\d{3}) \| (.+) \| `(\w+)` \|$/gm),
  ]
  expect(rows.length).toBeGreaterThan(10)
  for (const [, status = '', codes = '', name = ''] of rows) {
    for (const [, code = ''] of codes.matchAll(/`([A-Z][A-Z_]+[A-Z])`/g)) {
      const error = wireError(new VestryError(code as ErrorCode))
      const body = errorText(error, 'openai', 'req_1')
      expect(error.status, code).toBe(Number(status))
      expect(errorOf(errorBody(body), { status: error.status }).constructor.name, code).toBe(name)
    }
  }
})

test('the runtime’s table of errors says what the wire answers', () => {
  const rows = [...section(read('docs/runtime.md'), 'Errors').matchAll(/^\| (\d{3}) \| (.+) \|$/gm)]
  expect(rows.length).toBeGreaterThan(10)
  for (const [, status = '', codes = ''] of rows) {
    for (const [, code = ''] of codes.matchAll(/`([A-Z][A-Z_]+[A-Z])`/g)) {
      const problem = problemOf(new VestryError(code as ErrorCode), 'r-1')
      expect({ status: problem.status, code: problem.body['code'] }).toEqual({
        status: Number(status),
        code,
      })
    }
  }
})

test('the exit codes in agents.md are the classes’', () => {
  const rows = [
    ...section(read('docs/agents.md'), 'Exit codes').matchAll(/^\| (\d+) \| `(\w+)`/gm),
  ].map(([, code, name]) => [name, Number(code)])
  const classes = Object.entries(sage)
    .filter(([, one]) => typeof one === 'function' && one.prototype instanceof Error)
    .map(([name, one]) => [name, (one as typeof sage.SageSanctumError).exitCode])
  expect(rows.length).toBeGreaterThan(20)
  expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(classes))
})

test('gateway policies in the documentation are accepted', () => {
  const documents = OURS.flatMap((page) => fences(read(page), 'json'))
    .map((text) => JSON.parse(text) as object)
    .filter((document) => 'spec' in document)
  expect(documents.length).toBeGreaterThan(0)
  for (const document of documents) acceptGateway(GatewayDocument, document)
})

test('every error code that pages name exists, and every code is explained', () => {
  const named = new Set<string>()
  const verdicts = new Set<string>()
  const unknown: string[] = []
  for (const page of PAGES) {
    for (const [, word = ''] of read(page).matchAll(/`([A-Z][A-Z_]+[A-Z])`/g)) {
      if (Object.hasOwn(ERRORS, word)) named.add(word)
      else if (page === 'docs/signing.md' && VERDICTS.has(word)) verdicts.add(word)
      else if (DIAGNOSTICS.has(word)) continue
      else if (OURS.includes(page) && !OTHER_WORDS.test(word) && !isRefusal(word))
        unknown.push(`${page}: ${word}`)
    }
  }
  expect(unknown).toEqual([])
  expect(verdicts).toEqual(VERDICTS)
  const silent = Object.keys(ERRORS).filter((code) => !named.has(code))
  expect(silent).toEqual([])
})

test('every field of a rule, operation, type and setting of a credential is described', () => {
  const policy = read('docs/policy.md')
  const nested = ['not_before', 'not_after', 'hours', 'transports', 'source_cidrs']
  const fields = [...Object.keys(VaultRuleInput.shape), ...nested, 'require_reason']
  expect(fields.filter((field) => !new RegExp(`\`${field}\\b`).test(policy))).toEqual([])
  const vault = read('docs/vault.md')
  const ours = OPERATIONS.filter((name) => !['jwt', 'aws_sigv4'].includes(name))
  expect(ours.filter((name) => !vault.includes(`\`${name}\``))).toEqual([])
  const facts = [...CREDENTIAL_TYPES, ...Object.keys(CredentialSettings.shape)]
  expect(facts.filter((name) => !vault.includes(`\`${name}\``))).toEqual([])
  const identity = read('docs/identity.md')
  expect(OPERATOR_ROLES.filter((role) => !identity.includes(`| \`${role}\` |`))).toEqual([])
})

test('every annotation, context attribute and built-in policy is described, and no other', () => {
  const cedar = read('docs/cedar.md')
  const table = section(cedar, 'Annotations')
  const annotations = [...table.matchAll(/`@([a-z0-9_]+)`/g)].map(([, name = '']) => name)
  const descriptive = ['id', 'description', 'clauses', 'reason', 'rank']
  expect([...new Set(annotations)].sort()).toEqual([...knownAnnotations(), ...descriptive].sort())
  const context = /type Call = \{([\s\S]*?)\n\};/.exec(CEDAR_SCHEMA)?.[1] ?? ''
  const attributes = [...context.matchAll(/^ {2}([a-z_]+)(\?)?:/gm)]
  expect(attributes.length).toBeGreaterThan(10)
  const silent = attributes.filter(
    ([, name, optional = '']) => !cedar.includes(`\`${name}${optional}\``),
  )
  expect(silent.map(([, name]) => name)).toEqual([])
  const builtin = BUILTIN_POLICIES.map(({ id }) => id.replace(/^builtin:/, ''))
  const plain = builtin.filter((name) => !name.startsWith('scope:'))
  expect(plain.filter((name) => !section(cedar, 'Built-in policies').includes(name))).toEqual([])
})

/** Asked of the parser itself, which names them all when it meets an unknown one. */
function knownAnnotations(): string[] {
  try {
    parseDuties('p', 'permit', { nonsense: '' })
  } catch (error) {
    const hint = (error as { hint?: string }).hint ?? ''
    return hint.replace('Known: ', '').replace(/\.$/, '').split(', ')
  }
  return []
}

function pages(): string[] {
  const below = (directory: string) =>
    readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${directory}/${name}`)
  const top = readdirSync(ROOT).filter((name) => name.endsWith('.md'))
  const all = [...top, ...below('docs'), ...below('examples')]
  return all.filter((name) => statSync(join(ROOT, name)).isFile() && name !== 'docs/promises.md')
}

function read(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
}

function fences(text: string, language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '')
}

/** YAML of its own, and YAML that a shell block writes into a file. */
function yamlBlocks(text: string): string[] {
  const written = fences(text, 'sh').flatMap((block) =>
    [...block.matchAll(/<<'YAML'\n([\s\S]*?)^YAML$/gm)].map((match) => match[1] ?? ''),
  )
  return [...fences(text, 'yaml'), ...written]
}

/** What `vestry secret backend set` takes. */
function isInput(data: unknown): boolean {
  return typeof data === 'object' && data !== null && 'agent_id' in data
}

function isBackend(data: unknown): boolean {
  return typeof data === 'object' && data !== null && 'backend_type' in data
}

function isPolicy(data: unknown): boolean {
  return typeof data === 'object' && data !== null && ('policies' in data || 'principals' in data)
}

function withoutCode(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '')
}

/** As the host of the repository makes them. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function section(text: string, title: string): string {
  const [, body = ''] = text.split(`## ${title}\n`)
  return body.split('\n## ')[0] ?? ''
}

/** Words after `vestry` in shell blocks and in running text. */
function commandsOf(page: string): string[][] {
  const text = read(page)
  const lines = fences(text, 'sh')
    .map((block) => block.replaceAll(/<<'(\w+)'\n[\s\S]*?^\1$/gm, '').replaceAll('\\\n', ' '))
    .flatMap((block) => block.split('\n'))
    .map((line) => line.replace(/(?:^|\s)#.*$/, ''))
  const prose = [...withoutFences(text).matchAll(/`((?:npx )?vestry [^`]+)`/g)]
  const ini = fences(text, 'ini').flatMap((block) => block.split('\n'))
  return [...lines, ...ini, ...prose.map(([, command = '']) => command)].flatMap((line) => {
    const [, rest] = /(?:^|[\s/|])vestry (.+)$/.exec(line) ?? []
    return rest === undefined ? [] : [words(rest)]
  })
}

function withoutFences(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```$/gm, '')
}

/** Quoted parts stay whole. */
function words(text: string): string[] {
  return [...text.matchAll(/'[^']*'|"[^"]*"|\S+/g)].map(([word]) => word)
}

function commandLine(): Command {
  const nowhere = { write: () => true } as unknown as NodeJS.WriteStream
  const terminal = { stdin: process.stdin, stdout: nowhere, stderr: nowhere, env: {} }
  return createProgram(() => async () => {}, terminal)
}

function complaints(program: Command, given: readonly string[]): string[] {
  return walk(program, given).unknown
}

/** Follows the words of a command line: the command they name, and what of them it does not know. */
function walk(program: Command, given: readonly string[]): { name: string; unknown: string[] } {
  const unknown: string[] = []
  const path: string[] = []
  let command = program
  let values = 0
  const rest = inOurWords(given).filter((word) => word !== '…')
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at] ?? ''
    if (word === '|' || word === '>' || word === '--') break
    if (word.startsWith('-')) {
      const [name = ''] = word.split('=')
      const option = command.options.find(({ long, short }) => name === long || name === short)
      if (option === undefined) unknown.push(`no option ${name}`)
      else if (option.required && !word.includes('=')) at += 1
      continue
    }
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word))
    if (next !== undefined && values === 0) {
      command = next
      path.push(next.name())
    } else if (command.commands.length > 0) unknown.push(`no command ${word}`)
    else values += 1
  }
  const { registeredArguments } = command
  if (values > registeredArguments.length && registeredArguments.at(-1)?.variadic !== true)
    unknown.push('too many arguments')
  return { name: path.join(' '), unknown }
}

/** `agent add`, `cred show` … */
function leaves(command: Command, path = ''): string[] {
  if (command.commands.length === 0) return [path]
  return command.commands.flatMap((one) =>
    leaves(one, path === '' ? one.name() : `${path} ${one.name()}`),
  )
}

/** `egress.blocked`, `audit.jsonl` … look like settings and are events or files. */
function isOther(key: string): boolean {
  return /^(?:audit\.(?:head|jsonl|md)|egress\.(?:blocked|reflection|md)|vault\.(?:md|sock|ts|init|unseal_failed|rollback_accepted)|identity\.md|store\.ts)$/.test(
    key,
  )
}

/** The only cell of a table's row that is nothing but a number, with or without a unit. */
function numberBeside(line: string): number | undefined {
  const cells = line.startsWith('|') ? line.split('|').map((cell) => cell.trim()) : []
  const numbers = cells.flatMap((cell) => {
    const [, digits] = /^(\d[\d ]*)(?: (?:s|ms|bytes))?$/.exec(cell) ?? []
    return digits === undefined ? [] : [Number(digits.replaceAll(' ', ''))]
  })
  return numbers.length === 1 ? numbers[0] : undefined
}

/** 65536 → `65 536`, from five digits on. */
function spaced(value: number): string {
  return value < 10_000 ? String(value) : String(value).replaceAll(/\B(?=(?:\d{3})+$)/g, ' ')
}
