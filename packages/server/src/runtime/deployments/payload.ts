/** What the body of a provider's request holds, and what a program may see of its head. Pure. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'

export interface InboundBody {
  readonly header: (name: string) => string | undefined
  readonly body: Buffer
}

const MAX_FIELDS = 1_000
/** What a program may see of a request: nothing by which its sender shows who it is. */
const SHOWN = [
  'content-type',
  'user-agent',
  'x-github-event',
  'x-github-delivery',
  'x-gitlab-event',
  'x-gitlab-event-uuid',
  'x-slack-request-timestamp',
  'x-slack-retry-num',
  'x-event',
  'x-delivery-id',
  'idempotency-key',
]

/** @throws VestryError INVALID_JSON */
export function payloadOf({ body, header }: InboundBody): unknown {
  if (body.length === 0) return {}
  const [type = ''] = (header('content-type') ?? '').split(';')
  if (type.trim().toLowerCase() === 'application/x-www-form-urlencoded') return formOf(body)
  return parsed(body)
}

function parsed(body: Buffer): unknown {
  try {
    return readStrictJson(body, ONLY_PROTO)
  } catch (error) {
    throw new VestryError('INVALID_JSON', asVestryError(error).message)
  }
}

/** Of a form whose one field is `payload`, what that holds. */
function formOf(body: Buffer): unknown {
  const fields = [...new URLSearchParams(body.toString('utf8'))]
  if (fields.length > MAX_FIELDS)
    throw new VestryError('VALIDATION_ERROR', `A form has at most ${MAX_FIELDS} fields`)
  const [[name, value] = ['', '']] = fields
  if (fields.length === 1 && name === 'payload') return parsed(Buffer.from(value))
  return Object.fromEntries(fields)
}

export function inputOf(payload: unknown): Readonly<Record<string, unknown>> {
  const isObject = typeof payload === 'object' && payload !== null && !Array.isArray(payload)
  return isObject ? (payload as Record<string, unknown>) : { payload }
}

export function shown({ header }: Pick<InboundBody, 'header'>): Record<string, string> {
  return Object.fromEntries(
    SHOWN.flatMap((name) => {
      const value = header(name)
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
