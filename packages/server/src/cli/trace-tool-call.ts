/** What the tree of `vestry trace` tells of a gateway token and of a tool call, a line each. Pure. */
import { cellText, counted, type Row, rowOf } from './cell.ts'

/** Hex digits of a digest that tell two versions of a tool apart. */
const SHORT_DIGEST = 12

/** `token  2f1c…  tools serpapi  permissions read  proof signed  until 2026-05-02 09:14:07Z` */
export function tokenLines(span: Row): string[] {
  if (span['action'] !== 'token.mint') return []
  const data = rowOf(span, 'data')
  return [
    line('token', [
      shown(data['token'] ?? rowOf(span, 'outcome')['token']),
      shown(data['agent'], 'for'),
      shown(data['tools'], 'tools'),
      shown(data['permissions'], 'permissions'),
      shown(data['intent'], 'intent'),
      shown(data['proof'], 'proof'),
      shown(data['expires_at'], 'until'),
    ]),
  ]
}

/** What was called, under which name it is kept, where the answer came from, and with which secret. */
export function toolLines(span: Row): string[] {
  const data = rowOf(span, 'data')
  const outcome = rowOf(span, 'outcome')
  const { tool, action, digest, intent, cost_micros: cost } = data
  if (
    typeof data['server'] === 'string' &&
    typeof tool === 'string' &&
    span['action'] === 'mcp.call'
  )
    return mcpLines(data, outcome)
  if (typeof tool !== 'string' || typeof action !== 'string') return []
  return [
    line('tool', [
      `${cellText(tool)}:${cellText(action)}`,
      typeof digest === 'string' ? cellText(shortDigest(digest)) : undefined,
      shown(intent, 'intent'),
      typeof cost === 'number' ? `$${cost / 1_000_000}` : undefined,
      data['keyed'] === true ? 'idempotency key' : undefined,
    ]),
    line('target', [targetText(rowOf(data, 'target'))]),
    line('job', [shown(data['job'] ?? outcome['job'])]),
    line('kept as', [shown(data['execution'])]),
    line('credential', [shown(outcome['credential']), shown(outcome['version'], 'version')]),
    line('upstream', upstream(outcome)),
    line('answer', [answeredFrom(span, outcome), shown(outcome['filtered'], 'filtered')]),
  ].filter((text) => text !== '')
}

/** A tool of an MCP server: which one, exactly, and whether that is what somebody reviewed. */
function mcpLines(
  { server, tool, digest, reviewed, review_id: review }: Row,
  outcome: Row,
): string[] {
  return [
    line('tool', [
      `mcp/${cellText(server)}:${cellText(tool)}`,
      typeof digest === 'string' ? cellText(shortDigest(digest)) : undefined,
      reviewed === true ? shown(review, 'reviewed as') : 'not reviewed',
    ]),
    line('answer', [
      outcome['is_error'] === true ? 'the tool says that it failed' : undefined,
      shown(outcome['filtered'], 'filtered'),
    ]),
  ].filter((text) => text !== '')
}

/** Whether {@link toolLines} tell the upstream's status. */
export function tellsUpstream(outcome: Row): boolean {
  return rowOf(outcome, 'upstream')['host'] !== undefined
}

function upstream(outcome: Row): (string | undefined)[] {
  const { host, path, ms, redirects } = rowOf(outcome, 'upstream')
  const { status, attempts, redactions, redirect_denied: refused } = outcome
  if (outcome['mock'] === true || (host === undefined && attempts === undefined)) return []
  return [
    host === undefined ? 'no answer' : `${cellText(host)}${cellText(path)}`,
    shown(status),
    typeof ms === 'number' ? `${Math.round(ms)}ms` : undefined,
    times(attempts, 'attempt', 2),
    times(redirects, 'redirect', 1),
    shown(refused, 'redirect refused to'),
    times(redactions, 'redaction', 1),
  ]
}

function answeredFrom(span: Row, { cached, mock }: Row): string | undefined {
  if (span['action'] === 'tool.replay') return 'replayed'
  if (cached === true) return 'from the cache'
  return mock === true ? 'from the mock' : undefined
}

function targetText({ scheme, host, port, path }: Row): string | undefined {
  if (host === undefined) return undefined
  const usual = (scheme === 'https' && port === 443) || (scheme === 'http' && port === 80)
  const at = usual ? cellText(host) : `${cellText(host)}:${cellText(port)}`
  return `${cellText(scheme)}://${at}${cellText(path)}`
}

/** `sha256:9f86d081884c` */
function shortDigest(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return `${algorithm}:${hex.slice(0, SHORT_DIGEST)}`
}

function times(count: unknown, what: string, from: number): string | undefined {
  return typeof count === 'number' && count >= from ? counted(count, what) : undefined
}

function shown(value: unknown, label?: string): string | undefined {
  if (value === undefined || value === null) return undefined
  return label === undefined ? cellText(value) : `${label} ${cellText(value)}`
}

/** Empty when there is nothing to tell. */
function line(label: string, parts: readonly (string | undefined)[]): string {
  const told = parts.filter((part) => part !== undefined)
  return told.length === 0 ? '' : [label, ...told].join('  ')
}
