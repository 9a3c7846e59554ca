/** Where the client's settings come from: an option, the environment, a `.env` file, a default (runtime contract §17). */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { SymbiontError } from './errors.ts'

export interface SymbiontClientOptions {
  /** Default: `SYMBIONT_API_KEY`, else none. */
  apiKey?: string
  /** Default: `SYMBIONT_BASE_URL`, else `http://localhost:8080/api/v1`. Slashes at its end are removed. */
  baseUrl?: string
  /** Of one attempt. Default: `SYMBIONT_TIMEOUT`, else 30. */
  timeoutSeconds?: number
  /** Attempts after the first. Default: `SYMBIONT_MAX_RETRIES`, else 3. */
  maxRetries?: number
  /** Default: the platform's. */
  fetch?: typeof globalThis.fetch
  /**
   * A file with `SYMBIONT_*` lines; what the environment says wins. Default: `.env` in the working directory, if there
   * is one. `false` reads none.
   */
  envFile?: string | false
}

export interface Settings {
  apiKey: string | undefined
  baseUrl: string
  timeoutMs: number
  maxRetries: number
  fetch: typeof globalThis.fetch
}

const NAMES: readonly string[] = [
  'apiKey',
  'baseUrl',
  'timeoutSeconds',
  'maxRetries',
  'fetch',
  'envFile',
] satisfies (keyof SymbiontClientOptions)[]

export const DEFAULT_BASE_URL = 'http://localhost:8080/api/v1'
const DEFAULT_TIMEOUT_SECONDS = 30
const DEFAULT_MAX_RETRIES = 3
const KEY = /^[\x21-\x7e]{1,4096}$/

/**
 * @param env Default: the environment of the process.
 * @throws SymbiontError `INVALID_OPTION` for a value that cannot be used, or a named file that cannot be read.
 */
export function resolveOptions(
  options: SymbiontClientOptions,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Settings {
  assertKnown(options)
  const file = readEnvFile(options.envFile)
  const from = (name: string): string | undefined => filled(env[name]) ?? filled(file[name])
  const apiKey = filled(options.apiKey) ?? from('SYMBIONT_API_KEY')
  if (apiKey !== undefined && !KEY.test(apiKey))
    throw invalid('apiKey', 'must be printable ASCII without spaces')
  return {
    apiKey,
    baseUrl: baseUrlOf(filled(options.baseUrl) ?? from('SYMBIONT_BASE_URL') ?? DEFAULT_BASE_URL),
    timeoutMs: Math.round(
      numberOf('timeoutSeconds', options.timeoutSeconds ?? from('SYMBIONT_TIMEOUT'), {
        standard: DEFAULT_TIMEOUT_SECONDS,
        min: 0.001,
        max: 86_400,
      }) * 1_000,
    ),
    maxRetries: numberOf('maxRetries', options.maxRetries ?? from('SYMBIONT_MAX_RETRIES'), {
      standard: DEFAULT_MAX_RETRIES,
      min: 0,
      max: 100,
      whole: true,
    }),
    fetch: options.fetch ?? globalThis.fetch,
  }
}

function assertKnown(options: SymbiontClientOptions): void {
  const plain = (text: string): string => text.replaceAll('_', '').toLowerCase()
  for (const name of Object.keys(options)) {
    if (NAMES.includes(name)) continue
    const meant = NAMES.find((known) => plain(known) === plain(name))
    throw invalid(name, meant ? `is no option; did you mean ${meant}?` : 'is no option')
  }
  const { apiKey, baseUrl, fetch } = options as Readonly<Record<string, unknown>>
  if (!isAbsentOr('string', apiKey)) throw invalid('apiKey', 'must be text')
  if (!isAbsentOr('string', baseUrl)) throw invalid('baseUrl', 'must be text')
  if (!isAbsentOr('function', fetch)) throw invalid('fetch', 'must be a function')
}

function isAbsentOr(type: 'string' | 'function', value: unknown): boolean {
  return value === undefined || value === null || typeof value === type
}

function filled(text: string | null | undefined): string | undefined {
  return text === undefined || text === null || text === '' ? undefined : text
}

function baseUrlOf(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw invalid('baseUrl', 'must be a URL such as http://localhost:8080/api/v1')
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw invalid('baseUrl', 'must begin with http:// or https://')
  // Whoever prints the client would print them.
  if (url.username !== '' || url.password !== '')
    throw invalid('baseUrl', 'must not hold a user name or password')
  if (url.search !== '' || url.hash !== '')
    throw invalid('baseUrl', 'must have neither a query nor a fragment')
  return text.replace(/\/+$/, '')
}

interface NumberRule {
  standard: number
  min: number
  max: number
  whole?: boolean
}

function numberOf(
  name: string,
  given: number | string | undefined,
  { standard, min, max, whole = false }: NumberRule,
): number {
  if (given === undefined) return standard
  const value = typeof given === 'string' ? Number(given.trim() || Number.NaN) : given
  const isFine = typeof value === 'number' && value >= min && value <= max
  if (isFine && (!whole || Number.isInteger(value))) return value
  throw invalid(name, `must be a ${whole ? 'whole ' : ''}number from ${min} to ${max}`)
}

function invalid(option: string, problem: string): SymbiontError {
  return new SymbiontError(`${option} ${problem}`, { code: 'INVALID_OPTION' })
}

function readEnvFile(given: string | false | undefined): Readonly<Record<string, string>> {
  if (given === false) return {}
  let text: string
  try {
    text = readFileSync(resolve(given ?? '.env'), 'utf8')
  } catch (cause) {
    if (given === undefined) return {}
    throw new SymbiontError(`envFile cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      code: 'INVALID_OPTION',
      cause,
    })
  }
  return parseEnvFile(text)
}

const LINE = /^\s*(?:export\s+)?(SYMBIONT_[A-Z_]+)\s*=\s*(.*?)\s*$/

/** Lines `NAME=value`, the value in single or double quotes or bare, where ` #` begins a comment. */
export function parseEnvFile(text: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = LINE.exec(line) ?? []
    if (name === undefined || value === undefined) continue
    const [, , quoted] = /^(["'])(.*?)\1\s*(?:#.*)?$/.exec(value) ?? []
    found[name] = quoted ?? value.replace(/(?:^|\s)#.*$/, '').trim()
  }
  return found
}
