/**
 * Checks the arguments of a call against the tool's own schema, which a stranger wrote: it runs under a clock that
 * ends it wherever it is, in a regular expression, too.
 */
import { createContext, Script } from 'node:vm'
import { VestryError } from '@vestry/contract/errors'
import type { AnySchema, Options, ValidateFunction } from 'ajv'
import { schemaCompilers } from '../../json/schema-compilers.ts'
import type { LiveTool } from '../hub.ts'
import { isPlainSchema } from './plain-schema.ts'

/** For making the check, once, and for each use of it. Time on the wall: a busy machine takes its share of it. */
const COMPILE_MS = 1_000
const CHECK_MS = 250
/** Who takes too long this often is not asked again. */
const MAX_LATE = 3
const MAX_TEXT = 300

const OLDER_DRAFT = /^https?:\/\/json-schema\.org\/draft-0[4-7]\/schema#?$/

const OPTIONS: Options = {
  // One problem is enough to refuse a call, and listing them all may take for ever.
  allErrors: false,
  // Unknown keywords are the server's affair.
  strict: false,
  validateSchema: false,
  addUsedSchema: false,
  ownProperties: true,
  // In both drafts `format` is a note for readers.
  validateFormats: false,
  logger: false,
}

type Check =
  | { readonly validate: ValidateFunction; readonly isPlain: boolean; late: number }
  | { readonly problem: VestryError }

const checks = new WeakMap<LiveTool, Check>()
/** What was found to fit: one call is checked when it is decided, and again where it is sent. */
const fitting = new WeakMap<Readonly<Record<string, unknown>>, LiveTool>()

/**
 * @throws VestryError INVALID_PARAMS for arguments that do not fit; MCP_PROTOCOL_ERROR for a schema that cannot be
 *   read, or takes too long.
 */
export function checkArguments(
  tool: LiveTool,
  given: Readonly<Record<string, unknown>>,
  checkMs = CHECK_MS,
): void {
  if (fitting.get(given) === tool) return
  let check = checks.get(tool)
  if (check === undefined) {
    check = compiled(tool)
    checks.set(tool, check)
  }
  if ('problem' in check) throw check.problem
  const { validate, isPlain } = check
  const late = () => unusable(tool, 'takes too long to check arguments against')
  if (check.late >= MAX_LATE) throw late()
  const fits = () => validate(given) === true
  const valid = checked(tool, () => (isPlain ? { value: fits() } : within(checkMs, fits)))
  if (valid === 'late') {
    check.late += 1
    throw late()
  }
  if (valid.value) {
    fitting.set(given, tool)
    return
  }
  const [error] = validate.errors ?? []
  const { instancePath = '', message = 'is not valid' } = error ?? {}
  const at = instancePath === '' ? 'arguments' : `arguments${instancePath}`
  throw new VestryError('INVALID_PARAMS', `${at} ${message}`.slice(0, MAX_TEXT).toWellFormed(), {
    hint: 'List the tools of the server to see what this one expects.',
  })
}

/** A schema that refers to itself without an end overflows the stack. */
function checked<T>(tool: LiveTool, check: () => T): T {
  try {
    return check()
  } catch {
    throw unusable(tool, 'has no end')
  }
}

function compiled(tool: LiveTool): Check {
  try {
    // Raw numbers become numbers.
    const { $schema: dialect, ...schema } = JSON.parse(JSON.stringify(tool.inputSchema)) as Record<
      string,
      unknown
    >
    const older = typeof dialect === 'string' && OLDER_DRAFT.test(dialect)
    // One instance for each schema: the ids of two tools do not meet.
    const { Draft7, Draft2020 } = schemaCompilers()
    const made = within(COMPILE_MS, () => {
      const ajv = older ? new Draft7(OPTIONS) : new Draft2020(OPTIONS)
      return ajv.compile({ ...schema, $async: false } as AnySchema)
    })
    if (made === 'late') return { problem: unusable(tool, 'takes too long to read') }
    return { validate: made.value, isPlain: isPlainSchema(schema), late: 0 }
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown'
    return { problem: unusable(tool, `cannot be used: ${reason}`) }
  }
}

function unusable({ server, name }: LiveTool, what: string): VestryError {
  return new VestryError(
    'MCP_PROTOCOL_ERROR',
    `The schema of "${name}" of server "${server}" ${what}`.slice(0, MAX_TEXT).toWellFormed(),
  )
}

/** What runs under the clock; the engine ends the script, and with it all that it calls. */
const clocked: { work: () => unknown } = { work: () => undefined }
let prepared: { script: Script; context: object } | undefined

/** @throws whatever `work` throws. */
function within<T>(timeout: number, work: () => T): { value: T } | 'late' {
  prepared ??= { script: new Script('clocked.work()'), context: createContext({ clocked }) }
  clocked.work = work
  try {
    const value = prepared.script.runInContext(prepared.context, { timeout })
    return { value: value as T } // what `work` returned
  } catch (error) {
    if (isLate(error)) return 'late'
    throw error
  } finally {
    clocked.work = () => undefined
  }
}

function isLate(error: unknown): boolean {
  return Reflect.get(Object(error), 'code') === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
}
