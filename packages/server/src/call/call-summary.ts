/**
 * What a call would do, on one line for the person who is asked to allow it: addresses, names and sizes.
 * Never values, bodies or headers: what is shown here was not scrubbed. Pure.
 */
import type { PolicyContext } from '../policy/policy-request.ts'
import type { ProtectedCall } from './perform.ts'

const MAX_LENGTH = 400
/** Where nothing needs to be said about a port. */
const USUAL_PORTS = { https: 443, http: 80 } as const

type Summed = Pick<ProtectedCall<unknown>, 'action' | 'event' | 'context'>

export function callSummary(call: Summed): string {
  const text = describe(call)
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 1)}…`
}

function describe({ action, event, context }: Summed): string {
  const { algorithm, dataBytes } = context
  const name = action.replace(/^vault:(?:use:)?/, '')
  if (event === 'lease.renew') return 'renew a lease'
  if (context.target !== undefined) return requestSummary(context)
  if (name === 'http_header') return `give the value away as header ${context.headerName ?? ''}`
  if (name === 'retrieve') return 'give the value away'
  const size = dataBytes === undefined ? '' : ` ${dataBytes} bytes`
  return `${name}${size}${algorithm === undefined ? '' : ` with ${algorithm}`}`
}

/** `POST https://api.example.com/v1/items?limit=…, 120 bytes of application/json`. */
function requestSummary({ target, method = 'GET', requestBytes = 0, contentType }: PolicyContext) {
  if (target === undefined) return method
  const { scheme, host, port, path, queryNames = [] } = target
  const at = port === USUAL_PORTS[scheme] ? host : `${host}:${port}`
  const query = queryNames.map((name) => `${encodeURIComponent(name)}=…`).join('&')
  const url = `${scheme}://${at}${path}${query === '' ? '' : `?${query}`}`
  const kind = contentType === undefined ? '' : ` of ${contentType.replace(/;.*$/s, '').trim()}`
  return `${method} ${url}${requestBytes === 0 ? '' : `, ${requestBytes} bytes${kind}`}`
}
