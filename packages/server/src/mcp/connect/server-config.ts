/** What an MCP server's configuration is: read from the wire, checked in full before anything of it is stored. */
import { accept } from '@vestry/contract/accept'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import { isForbiddenInjection } from '../../egress/injection.ts'
import { isHeaderName } from '../../egress/request-headers.ts'
import { parseTarget } from '../../egress/url.ts'

export type McpTransport = 'stdio' | 'streamable_http' | 'sse'

export interface ServerConfig {
  readonly name: string
  readonly transport: McpTransport
  /** Of a stdio server: program and arguments, run without a shell. */
  readonly command: readonly string[]
  /** Of a remote server. */
  readonly url: string | null
  /** Values may name secrets: see `fill-in.ts`. */
  readonly env: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly cwd: string | null
  /** From the start until everything is listed, and of one call unless its caller says less. */
  readonly timeoutSeconds: number
  readonly autoConnect: boolean
  /** Connect again, with growing pauses, after it ended by itself. */
  readonly restart: boolean
  /** Where the provider's signing key is found; part of what is signed. */
  readonly providerPublicKeyUrl: string | null
}

export const SERVER_NAME = /^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/

const MAX_CONFIG_CHARS = 49_152
const HEADER_PREFIX = 'HEADER_'

/** The protocol's own, or what the connection is made with. */
const OWN_HEADERS = new Set([
  'accept',
  'content-type',
  'accept-encoding',
  'user-agent',
  'mcp-session-id',
  'mcp-protocol-version',
  'last-event-id',
])

const Text = z
  .string()
  .max(32_768)
  .regex(/^[^\0]*$/, 'must not hold a NUL')
const Flag = z.boolean().optional()

const Given = z.strictObject({
  name: z
    .string()
    .regex(
      SERVER_NAME,
      'must be 1-128 of letters, digits and ._:@-, beginning with one of the former',
    ),
  command: z.array(Text).max(256).optional(),
  env: z.record(z.string().min(1).max(256), Text).default({}),
  cwd: z
    .string()
    .max(4_096)
    .regex(/^\/[^\0]*$/, 'must be an absolute path')
    .optional(),
  timeout_seconds: z.int().min(1).max(600).default(30),
  transport: z.enum(['stdio', 'streamable_http', 'sse']).optional(),
  url: z.string().min(1).max(4_096).optional(),
  headers: z.record(z.string().min(1).max(256), Text).default({}),
  auto_connect: Flag,
  restart: Flag,
  provider_public_key_url: z
    .url({ protocol: /^https?$/ })
    .max(2_048)
    .optional(),
})

/**
 * Reads the configuration of old clients, where a command of one http(s) address is a remote server and variables
 * named `HEADER_<Name>` are its headers, and the longer form with `transport`, `url` and `headers`.
 *
 * @param given Members that are null count as absent.
 * @throws VestryError INVALID_PARAMS naming what is wrong; values of `env` and `headers` are not repeated.
 */
export function readServerConfig(given: Readonly<Record<string, unknown>>): ServerConfig {
  const present = Object.entries(given).filter(([, value]) => value !== null)
  const input = accept(Given, Object.fromEntries(present))
  const config = isRemote(input) ? remote(input) : stdio(input)
  if (JSON.stringify(config).length > MAX_CONFIG_CHARS)
    throw invalid(`the configuration exceeds ${MAX_CONFIG_CHARS} characters`)
  return config
}

type Input = z.output<typeof Given>

/** What both kinds share. */
function common(input: Input) {
  return {
    name: input.name,
    timeoutSeconds: input.timeout_seconds,
    autoConnect: input.auto_connect ?? true,
    restart: input.restart ?? false,
    providerPublicKeyUrl: input.provider_public_key_url ?? null,
  }
}

function isRemote({ transport, url, command = [] }: Input): boolean {
  if (transport !== undefined) return transport !== 'stdio'
  return url !== undefined || remoteAddress(command) !== undefined
}

function remoteAddress(command: readonly string[]): string | undefined {
  const [only = '', ...more] = command
  return more.length === 0 && /^https?:\/\//i.test(only) ? only : undefined
}

function stdio(input: Input): ServerConfig {
  const { command = [], url, headers, env } = input
  if (command.length === 0 || command[0] === '')
    throw invalid('command: must name the program to run')
  if (url !== undefined) throw invalid('url: goes with a remote transport only')
  if (Object.keys(headers).length > 0) throw invalid('headers: go with a remote transport only')
  for (const name of Object.keys(env))
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw invalid(`env: "${name}" is no name of a variable`)
  return {
    ...common(input),
    transport: 'stdio',
    command,
    url: null,
    env,
    headers: {},
    cwd: input.cwd ?? null,
  }
}

function remote(input: Input): ServerConfig {
  const { command = [], env, cwd, transport = 'streamable_http' } = input
  const address = remoteAddress(command)
  if (command.length > 0 && address === undefined)
    throw invalid('command: goes with stdio only; give the address as url')
  if (input.url !== undefined && address !== undefined && input.url !== address)
    throw invalid('url: differs from the address in command')
  const url = input.url ?? address
  if (url === undefined) throw invalid('url: is required for a remote server')
  if (cwd !== undefined) throw invalid('cwd: goes with stdio only')
  parseTarget(url)
  const headers = { ...input.headers, ...headersOf(env) }
  const seen = new Set<string>()
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (!isHeaderName(name) || isForbiddenInjection(name) || OWN_HEADERS.has(lower))
      throw invalid(`headers: "${name}" cannot be set`)
    if (seen.has(lower)) throw invalid(`headers: "${name}" is given twice`)
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      throw invalid(`headers: the value of "${name}" is none a header can have`)
    seen.add(lower)
  }
  return {
    ...common(input),
    transport: transport === 'stdio' ? 'streamable_http' : transport,
    command: [],
    url,
    env: {},
    headers,
    cwd: null,
  }
}

function headersOf(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).map(([name, value]) => {
      if (name.startsWith(HEADER_PREFIX) && name.length > HEADER_PREFIX.length)
        return [name.slice(HEADER_PREFIX.length), value]
      throw invalid(`env: a remote server takes ${HEADER_PREFIX}<Name> only, not "${name}"`)
    }),
  )
}

function invalid(message: string): VestryError {
  return new VestryError('INVALID_PARAMS', message)
}
