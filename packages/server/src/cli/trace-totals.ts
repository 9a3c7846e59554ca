/** The last line of the trace of a run: what all of its calls come to. Pure. */
import { cellText, counted, type Row, rowOf } from './cell.ts'
import type { Paint } from './style.ts'
import { dollars } from './trace-text.ts'

/** `total  4 calls (2 model, 1 tool, 1 credential)  15 tokens  $0.000083  1 denied` */
export function totalsLine(totals: Row, paint: Paint): string {
  const calls = Object.entries(rowOf(totals, 'calls')).filter(([, count]) => count !== 0)
  const all = calls.reduce((sum, [, count]) => sum + Number(count), 0)
  const kinds = calls.map(([kind, count]) => `${cellText(count)} ${cellText(kind)}`).join(', ')
  const { tokens, cost_micros: cost, denied, failed } = totals
  return [
    paint('bold', 'total'),
    kinds === '' ? 'no calls' : `${counted(all, 'call')} (${kinds})`,
    // What asked no model and cost nothing says nothing of either.
    ...(Number(tokens) + Number(cost) === 0
      ? []
      : [counted(tokens, 'token'), dollars(Number(cost))]),
    denied === 0 ? '0 denied' : paint('red', `${cellText(denied)} denied`),
    ...(failed === 0 ? [] : [paint('red', `${cellText(failed)} failed`)]),
  ].join('  ')
}
