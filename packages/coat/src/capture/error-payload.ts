/** What an end event says of an error. The error itself is only looked at: nothing is added to it. */
import type { CaptureMode } from '../aot.ts'
import type { ErrorPayload } from './capturer.ts'
import { describe } from './describe.ts'
import { classNameOf, dataMember, isObject, isProxy, kindOf, ownMember } from './intrinsics.ts'
import { type CleanText, errorMessage, errorName } from './serialise.ts'

export interface ErrorOptions {
  readonly mode: CaptureMode
  /** Names and codes are no content, yet a secret in them would be one. */
  readonly clean: CleanText
  /** The message as the mode shows it; not asked in mode `none`. */
  readonly message: (text: string) => string
  /** Directory above which the frames of a stack are not told; absent: no stack. */
  readonly stackRoot?: string | undefined
}

const MAX_NAME = 128
const MAX_CAUSES = 4
const MAX_FRAMES = 8
/** As classes are called. */
const NAME = /^[\w$.:/-]{1,64}$/
const CODE = /^[\w.:-]{1,64}$/

/** Never throws. */
export function errorPayload(error: unknown, options: ErrorOptions): ErrorPayload {
  try {
    if (!isObject(error) || isProxy(error) || kindOf(error) !== 'error')
      return { type: 'NonError', message: describe(error) }
    return { ...identity(error, options), ...details(error, options) }
  } catch {
    return { type: 'Error' }
  }
}

function identity(error: object, options: ErrorOptions): ErrorPayload {
  const message = errorMessage(error)
  const code = codeOf(error)
  const retryable = isRetryable(error, code)
  return {
    type: nameFor(error, options),
    ...(message !== undefined && {
      message: options.mode === 'none' ? describe(message) : options.message(message),
    }),
    ...(code !== undefined && { code: short(code, options) }),
    ...(retryable !== undefined && { retryable }),
  }
}

function details(error: object, options: ErrorOptions): Partial<ErrorPayload> {
  const cause = causesOf(error, options)
  const inner = dataMember(error, 'errors')
  const several = Array.isArray(inner) && !isProxy(inner) ? inner : undefined
  const stack = options.stackRoot === undefined ? undefined : framesOf(error, options)
  return {
    ...(cause.length > 0 && { cause }),
    ...(several !== undefined && { count: several.length, names: namesIn(several, options) }),
    ...(stack !== undefined && { stack }),
  }
}

/** Some programs put a sentence there, which is content: where none is told, the class has to do. */
function nameFor(error: object, options: ErrorOptions): string {
  const name = errorName(error)
  const isTold = options.mode === 'redacted' || options.mode === 'raw' || NAME.test(name)
  return short(isTold ? name : classNameOf(error) || 'Error', options)
}

function short(text: string, { clean }: ErrorOptions): string {
  return clean(text.slice(0, MAX_NAME), text.length > MAX_NAME).toWellFormed()
}

function causesOf(error: object, options: ErrorOptions): string[] {
  const names: string[] = []
  let at = dataMember(error, 'cause')
  while (names.length < MAX_CAUSES && at !== undefined && at !== null) {
    if (!isObject(at) || isProxy(at) || kindOf(at) !== 'error') {
      names.push('NonError')
      break
    }
    names.push(nameFor(at, options))
    at = dataMember(at, 'cause')
  }
  return names
}

function namesIn(errors: readonly unknown[], options: ErrorOptions): string[] {
  const names = new Set<string>()
  for (let at = 0; at < Math.min(errors.length, 32) && names.size < 8; at += 1) {
    const item = ownMember(errors, String(at))
    const value = typeof item === 'string' ? undefined : item.value
    names.add(
      isObject(value) && !isProxy(value) && kindOf(value) === 'error'
        ? nameFor(value, options)
        : 'NonError',
    )
  }
  return [...names]
}

/** `code`, or the status of an HTTP answer. */
function codeOf(error: object): string | undefined {
  for (const name of ['code', 'status', 'statusCode']) {
    const value = dataMember(error, name)
    const text = typeof value === 'number' && Number.isInteger(value) ? String(value) : value
    // Anything longer or stranger is no code but content.
    if (typeof text === 'string' && CODE.test(text)) return text
  }
  return undefined
}

const TRANSIENT = new Set(
  `ECONNRESET ECONNREFUSED ECONNABORTED ETIMEDOUT EPIPE EAI_AGAIN ENETUNREACH EHOSTUNREACH
  UND_ERR_CONNECT_TIMEOUT UND_ERR_HEADERS_TIMEOUT UND_ERR_SOCKET`.split(/\s+/),
)

/** As the error says, or as its status or its code implies; unknown otherwise. */
function isRetryable(error: object, code: string | undefined): boolean | undefined {
  for (const name of ['retryable', 'isRetryable']) {
    const own = dataMember(error, name)
    if (typeof own === 'boolean') return own
  }
  const declared = dataMember(error, 'status') ?? dataMember(error, 'statusCode')
  const status = typeof declared === 'number' ? declared : Number(code ?? Number.NaN)
  if (Number.isInteger(status) && status >= 400 && status <= 599)
    return status >= 500 || [408, 409, 425, 429].includes(status)
  return code !== undefined && TRANSIENT.has(code) ? true : undefined
}

function framesOf(error: object, { clean, stackRoot = '' }: ErrorOptions): string[] | undefined {
  // The one member that is asked for and not looked up: engines compute it. Only when switched on.
  const stack: unknown = (error as { stack?: unknown }).stack
  if (typeof stack !== 'string') return undefined
  const root = stackRoot.endsWith('/') ? stackRoot : `${stackRoot}/`
  return stack
    .slice(0, 16_384)
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, MAX_FRAMES)
    .map((line) => clean(withinProject(line.trim(), root).slice(0, 256), false).toWellFormed())
}

/** Paths below the project are told from there; of others only what lies in a package, or the file. */
function withinProject(frame: string, root: string): string {
  return frame
    .replaceAll(`file://${root}`, '')
    .replaceAll(root, '')
    .replace(ABSOLUTE_PATH, (_path, before: string, path: string) => {
      const inPackage = path.lastIndexOf('node_modules/')
      return before + path.slice(inPackage < 0 ? path.lastIndexOf('/') + 1 : inPackage)
    })
}

const ABSOLUTE_PATH = /(^|[\s(])(?:file:\/\/)?(\/[^\s()]+)/g
