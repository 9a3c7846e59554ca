/** The last line of a trace: what all of its spans and calls come to. Pure. */
import { cellText, counted, type Row, rowOf } from './cell.ts'
import type { Paint } from './style.ts'
import { dollars } from './trace-text.ts'

/** `total  4 calls (2 model, 1 tool, 1 credential)  15 tokens  $0.000083  1 denied` */
export function totalsLine(totals: Row, paint: Paint): string {
  const { kinds, all } = callKinds(totals)
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

/** `total  3 spans  2 calls (1 model, 1 credential)  812 in + 164 out tokens  $0.001  0 denied` */
export function agentTotalsLine(agents: Row, totals: Row, paint: Paint): string {
  const { spans, open, input_tokens: input, output_tokens: output, cost_micros: cost } = agents
  const { kinds, all } = callKinds(totals)
  const { denied, failed } = totals
  return [
    paint('bold', 'total'),
    counted(spans, 'span') + (open === 0 ? '' : ` (${cellText(open)} open)`),
    kinds === '' ? 'no calls' : `${counted(all, 'call')} (${kinds})`,
    ...(Number(input) + Number(output) === 0
      ? []
      : [`${cellText(input)} in + ${cellText(output)} out tokens`]),
    ...(Number(cost) === 0 ? [] : [dollars(Number(cost))]),
    denied === 0 ? '0 denied' : paint('red', `${cellText(denied)} denied`),
    ...(failed === 0 ? [] : [paint('red', `${cellText(failed)} failed`)]),
  ].join('  ')
}

function callKinds(totals: Row): { kinds: string; all: number } {
  const calls = Object.entries(rowOf(totals, 'calls')).filter(([, count]) => count !== 0)
  return {
    all: calls.reduce((sum, [, count]) => sum + Number(count), 0),
    kinds: calls.map(([kind, count]) => `${cellText(count)} ${cellText(kind)}`).join(', '),
  }
}
