/** Words that traces and lines of the record share. Pure. */
import { cellText, counted, type Row } from './cell.ts'

/** What was done, without the name of the action where that stands before it anyway. */
export function detailBeside(action: unknown, detail: unknown): string {
  const text = cellText(detail)
  const name = `${cellText(action)} `
  return text.startsWith(name) ? text.slice(name.length) : text
}

/** Millionths of a dollar, without an exponent. */
export function dollars(micros: number): string {
  const text = (micros / 1_000_000).toFixed(6).replace(/0{1,4}$/, '')
  return `$${text}`
}

/** `1 session, 1 lease, 2 tokens`: what was taken under a run and ended with it. */
export function endedText({ sessions, leases, tokens }: Row): string {
  if ([sessions, leases, tokens].every((count) => count === 0)) return 'nothing'
  return [
    counted(sessions, 'session'),
    counted(leases, 'lease'),
    counted(tokens, 'gateway token'),
  ].join(', ')
}
