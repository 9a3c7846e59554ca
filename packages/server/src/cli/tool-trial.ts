/** The answer of `tool test`, for a person: what would be sent, what is wrong, what policy says. Pure. */
import { cellText, type Row, rowOf } from './cell.ts'
import type { Paint } from './style.ts'
import { facts } from './table.ts'

export function trialText(reply: Row, agent: string | undefined, paint: Paint): string {
  const { tool, action, digest, mode, configured, params, problems } = reply
  const request = rowOf(reply, 'request')
  const wrong = Array.isArray(problems) ? problems : []
  return [
    `${paint('bold', `${cellText(tool)}:${cellText(action)}`)}\n`,
    ...wrong.map((problem) => `${paint('red', '✗')} ${cellText(problem)}\n`),
    verdict(reply, agent, paint),
    facts(
      [
        ['would send', sent(request)],
        [
          'for at most',
          request['timeout_ms'] === undefined ? undefined : `${cellText(request['timeout_ms'])} ms`,
        ],
        ['params', params === null ? undefined : params],
        ['mode', modeText(mode, configured)],
        ['digest', digest],
      ],
      paint,
    ),
  ].join('')
}

function verdict(reply: Row, agent: string | undefined, paint: Paint): string {
  if (agent === undefined) return ''
  const allowed = reply['allowed'] === true
  const answer = allowed ? paint('green', 'ALLOW') : paint('red', 'DENY')
  const code = allowed ? '' : `  (${cellText(reply['reason_code'])})`
  return `${answer}  ${cellText(agent)}  ${cellText(reply['reason'])}${code}\n`
}

function sent({ method, url, bytes }: Row): string | undefined {
  if (url === undefined) return undefined
  const body = bytes === 0 ? '' : `, ${cellText(bytes)} bytes`
  return `${cellText(method)} ${cellText(url)}${body}`
}

function modeText(mode: unknown, configured: unknown): string {
  if (mode === 'mock') return 'mock: a made-up answer, no provider is asked'
  return configured === false ? 'live, but it is not configured' : 'live'
}
