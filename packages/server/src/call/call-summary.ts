/**
 * What a call would do, on one line for the person who is asked to allow it: addresses, names and sizes.
 * Never values, bodies or headers: what is shown here was not scrubbed. Pure.
 */
import type { Target } from '../policy/host.ts'
import type { PolicyContext } from '../policy/policy-request.ts'
import type { ProtectedCall } from './perform.ts'

const MAX_LENGTH = 400
/** So many domains of recipients are named; the rest are counted. */
const MAX_DOMAINS = 8
/** Where nothing needs to be said about a port. */
const USUAL_PORTS = { https: 443, http: 80 } as const

type Summed = Pick<ProtectedCall<unknown>, 'action' | 'event' | 'context' | 'resource'>

export function callSummary(call: Summed): string {
  const text = describe(call)
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 1)}…`
}

function describe({ action, event, context, resource }: Summed): string {
  if (resource.kind === 'tool') return toolSummary(`${resource.tool}:${resource.action}`, context)
  if (resource.kind === 'model')
    return modelSummary(`${resource.provider}:${resource.model}`, context)
  if (resource.kind === 'agent') return `run ${resource.name}`
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
  const url = urlOf(target)
  const kind = contentType === undefined ? '' : ` of ${contentType.replace(/;.*$/s, '').trim()}`
  return `${method} ${url}${requestBytes === 0 ? '' : `, ${requestBytes} bytes${kind}`}`
}

/** `gmail_send:send to example.com, 230 bytes`, `http_fetch:get https://example.com/news, 34 bytes`. */
function toolSummary(
  name: string,
  { target, recipients = [], requestBytes = 0 }: PolicyContext,
): string {
  const url = target === undefined ? '' : ` ${urlOf(target)}`
  const to = recipients.length === 0 ? '' : ` to ${domains(recipients)}`
  return `${name}${url}${to}${requestBytes === 0 ? '' : `, ${requestBytes} bytes`}`
}

/** `ask openai:gpt-4o for analysis, 2300 bytes`. */
function modelSummary(name: string, { category, requestBytes = 0 }: PolicyContext): string {
  const purpose = category === undefined ? '' : ` for ${category}`
  return `ask ${name}${purpose}${requestBytes === 0 ? '' : `, ${requestBytes} bytes`}`
}

function domains(recipients: readonly string[]): string {
  const all = [...new Set(recipients)].sort()
  const rest = all.length - MAX_DOMAINS
  return [...all.slice(0, MAX_DOMAINS), ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
}

/** Of the query only the names. */
function urlOf({ scheme, host, port, path, queryNames = [] }: Target): string {
  const at = port === USUAL_PORTS[scheme] ? host : `${host}:${port}`
  const query = queryNames.map((name) => `${encodeURIComponent(name)}=…`).join('&')
  return `${scheme}://${at}${path}${query === '' ? '' : `?${query}`}`
}
