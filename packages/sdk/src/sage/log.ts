/**
 * Events of a run on stderr, as text or as one JSON object per line. Redacted, and never on stdout,
 * from the first line on.
 */
import { ConfigurationError } from './errors.ts'
import { redact, redactValue } from './redact.ts'

export type LogLevel = 'debug' | 'info' | 'warning' | 'error'
export type LogFormat = 'text' | 'json'
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warning(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** A logger that adds these fields to every record. */
  bind(fields: LogFields): Logger
}

export interface LoggingOptions {
  format?: LogFormat | undefined
  level?: LogLevel | undefined
  /** Added to every record of every logger; replaces the fields bound before. */
  fields?: LogFields | undefined
  /** Receives whole lines; stderr otherwise. */
  write?: ((line: string) => void) | undefined
}

const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 10, info: 20, warning: 30, error: 40 }

const toStderr = (line: string): void => {
  // Whoever started the agent may have stopped listening: no reason to end the run.
  if (!process.stderr.listeners('error').includes(ignored)) process.stderr.on('error', ignored)
  process.stderr.write(line)
}

const ignored = (): void => {}

/** One process has one stderr, hence one configuration. */
const current: { [Name in keyof LoggingOptions]-?: NonNullable<LoggingOptions[Name]> } = {
  format: 'text',
  level: 'info',
  fields: {},
  write: toStderr,
}

/** What is not given goes back to its default: text, info, no fields, stderr. */
export function configureLogging(options: LoggingOptions = {}): void {
  current.format = options.format ?? 'text'
  current.level = options.level ?? 'info'
  current.fields = options.fields ?? {}
  current.write = options.write ?? toStderr
}

/** Adds fields to every record from now on, e.g. `run_id` once it is known. */
export function bindLogging(fields: LogFields): void {
  current.fields = { ...current.fields, ...fields }
}

/** @throws ConfigurationError for a format or level that does not exist. */
export function loggingFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): LoggingOptions {
  const format = (env['SAGE_LOG_FORMAT'] || 'text').toLowerCase()
  const level = (env['SAGE_LOG_LEVEL'] || 'info').toLowerCase().replace(/^warn$/, 'warning')
  if (format !== 'text' && format !== 'json') {
    throw new ConfigurationError(`SAGE_LOG_FORMAT is "${format}": use text or json`)
  }
  if (!Object.hasOwn(SEVERITY, level)) {
    throw new ConfigurationError(
      `SAGE_LOG_LEVEL is "${level}": use ${Object.keys(SEVERITY).join(', ')}`,
    )
  }
  return { format, level: level as LogLevel } // one of the table's keys
}

export function getLogger(name: string = 'sage_sanctum'): Logger {
  return logger(name, {})
}

function logger(name: string, bound: LogFields): Logger {
  const at =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}): void =>
      record(level, name, event, { ...bound, ...fields })
  return {
    debug: at('debug'),
    info: at('info'),
    warning: at('warning'),
    error: at('error'),
    bind: (fields) => logger(name, { ...bound, ...fields }),
  }
}

function record(level: LogLevel, logger: string, event: string, fields: LogFields): void {
  if (SEVERITY[level] < SEVERITY[current.level]) return
  const clean = redactValue({ ...current.fields, ...fields }) as Record<string, unknown> // an object in, an object out
  const timestamp = new Date().toISOString()
  const line =
    current.format === 'json'
      ? // The four uniform members stand first and cannot be replaced by a field of the same name.
        JSON.stringify({
          event: redact(event),
          level,
          logger,
          timestamp,
          ...withoutUniform(clean),
        })
      : `${timestamp} [${level.padEnd(7)}] ${oneLine(redact(event))}${textFields(clean)}`
  try {
    current.write(`${line}\n`)
  } catch {
    // There is nowhere left to say that stderr is gone.
  }
}

const UNIFORM: ReadonlySet<string> = new Set(['event', 'level', 'logger', 'timestamp'])

function withoutUniform(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [UNIFORM.has(key) ? `${key}_` : key, value]),
  )
}

function textFields(fields: Record<string, unknown>): string {
  const { exception, ...rest } = fields
  const pairs = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${oneLine(key)}=${shown(value)}`)
    .join('')
  return typeof exception === 'string' ? `${pairs}\n${exception}` : pairs
}

function shown(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=\\]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value) ?? String(value)
}

// A line break would forge a second record, an escape sequence a whole screen.
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ')
}
