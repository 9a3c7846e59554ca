/** `vestry review corpus`: how well the rules of the analysis tell good tools from bad ones. Works without a daemon. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type {
  CorpusEntryReport,
  CorpusReport,
  CorpusResult,
} from '../review/analysis/corpus/confusion.ts'
import { counted, type Row } from './cell.ts'
import type { Run } from './command.ts'
import { EXIT } from './exit-code.ts'
import type { Paint, Style } from './style.ts'
import { facts, table } from './table.ts'
import { safeLines } from './terminal-text.ts'

export function reviewCorpusCommand(program: Command, run: Run): void {
  const review =
    program.commands.find((command) => command.name() === 'review') ??
    program.command('review').description('reviews of tools')

  review
    .command('corpus')
    .description(
      'run the rules over ordinary tools and attacks, and count; exit code 1 if one is misjudged',
    )
    .option('--show <id>', 'one tool of the corpus with everything that is found in it')
    .action(
      run(async (io, { show }: { show?: string }) => {
        const { reviewCorpus, reviewEntry } = await import('../review/analysis/corpus/confusion.ts')
        if (show === undefined) {
          const report = reviewCorpus()
          if (!report.bar.reached) io.exitCode = EXIT.failed
          io.print(report, (paint) => reportText(report, paint))
          return
        }
        const entry = reviewEntry(show)
        if (entry === undefined) {
          throw new VestryError('NOT_FOUND', `the corpus has no tool "${show}"`, {
            hint: 'With --json "vestry review corpus" lists ids, e.g. instructions/ignore-previous',
          })
        }
        const { visibleLines } = await import('../review/analysis/visible.ts')
        io.print(entry, (paint) => entryText(entry, paint, visibleLines))
      }),
    )
}

function reportText(
  { confusion, rules, misses, false_alarms, published, bar }: CorpusReport,
  paint: Paint,
): string {
  const kinds = Object.entries(confusion).map(([tools, counts]) => ({ tools, ...counts }))
  const shown = published.toSorted((one, other) => other.risk_score - one.risk_score)
  return [
    table(
      [
        { title: 'TOOLS', value: 'tools' },
        { title: 'BELOW MEDIUM', value: 'below_medium', align: 'right' },
        { title: 'MEDIUM OR WORSE', value: 'medium_or_worse', align: 'right' },
      ],
      kinds,
      { paint, empty: '' },
    ),
    table(
      [
        { title: 'RULE', value: 'rule' },
        { title: 'ATTACKS', value: 'expected', align: 'right' },
        { title: 'FOUND', value: 'found', align: 'right', style: foundStyle },
        { title: 'FALSE ALARMS', value: 'false_alarms', align: 'right' },
      ],
      rules.map((rule) => ({ ...rule })),
      { paint, empty: '' },
    ),
    `${paint('bold', 'As commonly published')} (open paths, addresses and statements; shown, not judged)\n${resultTable(shown, paint)}`,
    ...(misses.length === 0
      ? []
      : [
          `${paint('red', 'Missed')}\n${table(
            [
              { title: 'ATTACK', value: 'id' },
              { title: 'NOT FOUND BY', value: 'missed' },
              { title: 'WORST', value: 'worst' },
              { title: 'EXPECTED', value: 'expected' },
            ],
            misses.map((miss) => ({ ...miss })),
            { paint, empty: '' },
          )}`,
        ]),
    ...(false_alarms.length === 0
      ? []
      : [`${paint('red', 'False alarms')}\n${resultTable(false_alarms, paint)}`]),
    bar.reached
      ? `${paint('green', 'ok')}: every attack is found by the rules it is meant for, and no ordinary tool is medium or worse\n`
      : `${paint('red', 'fail')}: ${counted(misses.length, 'attack')} missed, ${counted(false_alarms.length, 'false alarm')}; at least ${bar.tools_of_each_kind} tools of each kind are needed\n`,
  ].join('\n')
}

function resultTable(results: readonly CorpusResult[], paint: Paint): string {
  return table(
    [
      { title: 'TOOL', value: 'id' },
      { title: 'WORST', value: 'worst', style: ({ worst }) => severityStyle(worst) },
      { title: 'SCORE', value: 'risk_score', align: 'right' },
      { title: 'RULES', value: 'rules' },
    ],
    results.map((result) => ({ ...result })),
    { paint, empty: 'none' },
  )
}

function entryText(
  { corpus, id, tool, worst, risk_score, findings }: CorpusEntryReport,
  paint: Paint,
  visible: (text: string) => string,
): string {
  const head = facts(
    [
      ['id', `${corpus}/${id}`],
      ['name', visible(tool.name)],
      ['provider', visible(tool.provider?.name ?? '')],
      ['worst', worst],
      ['score', risk_score],
    ],
    paint,
  )
  const schema = JSON.stringify(tool.schema ?? {}, undefined, 2)
  const lines = findings.map(
    ({ rule_id, severity, title, location, evidence, confidence }) =>
      `${paint(severityStyle(severity) ?? 'dim', severity)} ${rule_id} ${title} (${confidence})\n  ${safeLines(location)}\n  ${safeLines(evidence)}\n`,
  )
  const body = `${safeLines(visible(tool.description))}\n${safeLines(visible(schema))}\n`
  return [head, body, ...(lines.length === 0 ? ['nothing found\n'] : lines)].join('\n')
}

function foundStyle({ expected, found }: Row): Style | undefined {
  return expected === found ? undefined : 'red'
}

function severityStyle(severity: unknown): Style | undefined {
  if (severity === 'critical' || severity === 'high') return 'red'
  return severity === 'medium' ? 'yellow' : undefined
}
