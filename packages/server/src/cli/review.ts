/** `vestry review …`: tools that wait for somebody to look at them, and what was decided about those that did not. */
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { cellText, type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { integer, oneOf } from './option-value.ts'
import { noPaint } from './style.ts'
import { facts, table } from './table.ts'
import { terminalColumns } from './terminal-columns.ts'
import { safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'
import { toolSignCommand } from './tool-sign.ts'

const STATUSES = [
  'submitted',
  'pending_analysis',
  'analyzing',
  'pending_review',
  'under_review',
  'approved',
  'rejected',
  'signed',
] as const
const PRIORITIES = ['low', 'normal', 'high', 'urgent'] as const
const MAX_FILE_BYTES = 524_288
const UNDER_WAY: ReadonlySet<string> = new Set(['submitted', 'pending_analysis', 'analyzing'])
const LONGEST_WAIT_MS = 60_000
const LOOK_EVERY_MS = 200

interface ListOptions {
  status?: string
  author?: string
  page?: number
  limit?: number
}

interface SubmitOptions {
  by?: string
  priority?: string
  wait?: boolean
}

export function reviewCommands(program: Command, run: Run): void {
  const review = program
    .command('review')
    .description('review of tools before anybody may use them')
  lookingCommands(review, run)
  decidingCommands(review, run)
  toolSignCommand(review, run)
}

function lookingCommands(review: Command, run: Run): void {
  review
    .command('list')
    .description('list reviews, newest first')
    .option('--status <status>', `one of ${STATUSES.join(', ')}`, oneOf('--status', STATUSES))
    .option('--author <name>', 'who submitted the tool, or its provider')
    .option('--page <n>', 'which page (default: 1)', integer('--page', 1, 1_000_000))
    .option('--limit <n>', 'reviews on a page (default: 20)', integer('--limit', 1, 100))
    .action(
      run(async (io, options: ListOptions) => {
        const { status, author, page, limit } = options
        const reply = await io.call('review.list', { status, author, page, limit })
        await printReviews(io, reply, rowsOf(reply, 'sessions'), 'no reviews')
        const { total, has_next: more } = rowOf(reply, 'pagination')
        if (more === true) io.note(`${cellText(total)} in all; --page shows the others`)
      }),
    )

  review
    .command('queue')
    .description('list what waits for a person, the most urgent first')
    .action(
      run(async (io) => {
        const reply = await io.call('review.queue')
        await printReviews(io, reply, rowsOf(reply, 'queue'), 'nothing waits for a review')
        const waiting = Number(reply['pending_analysis']) + Number(reply['analyzing'])
        if (waiting > 0) io.note(`${waiting} more are being analysed`)
      }),
    )

  review
    .command('show')
    .description('show a tool with nothing hidden, its findings, and what changed')
    .argument('<id>', 'the review')
    .action(
      run(async (io, id: string) =>
        printReview(io, await io.call('review.show', { review_id: id })),
      ),
    )

  review
    .command('audit')
    .description('show every step of a review, and whether the record of them is whole')
    .argument('<id>', 'the review')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('review.audit', { review_id: id })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'STEP', value: 'seq', align: 'right' },
              { title: 'AT', value: 'at' },
              { title: 'TO', value: 'to' },
              { title: 'BY', value: 'actor' },
              { title: 'HASH', value: ({ hash }) => String(hash).slice(0, 12) },
            ],
            rowsOf(reply, 'entries'),
            { paint, empty: 'no steps' },
          ),
        )
        if (reply['intact'] !== true)
          throw new VestryError(
            'STORE_CORRUPT',
            `The record of ${id} was altered: ${cellText(reply['problem'])}`,
          )
        io.note('The record is whole.')
      }),
    )

  review
    .command('stats')
    .description('count reviews, and how long they take')
    .action(
      run(async (io) => {
        const reply = await io.call('review.stats')
        io.print(reply, (paint) =>
          facts(
            [
              ...Object.entries(rowOf(reply, 'by_status')).map(
                ([status, count]) => [status.replaceAll('_', ' '), count] as const,
              ),
              ['longest wait (s)', reply['oldest_waiting_seconds']],
              ['usual analysis (ms)', reply['median_analysis_ms']],
              ['usual review (s)', reply['median_review_seconds']],
            ],
            paint,
          ),
        )
      }),
    )
}

function decidingCommands(review: Command, run: Run): void {
  review
    .command('submit')
    .description('submit a tool for review')
    .argument('<file>', 'JSON: name, description, schema, provider; - for standard input')
    .option('--by <name>', 'who submits it (default: the operator)')
    .option(
      '--priority <priority>',
      `one of ${PRIORITIES.join(', ')} (default: normal)`,
      oneOf('--priority', PRIORITIES),
    )
    .option('--wait', 'wait for its analysis, and show what it found')
    .action(
      run(async (io, file: string, { by, priority, wait }: SubmitOptions) => {
        const text = await readTool(io, file)
        const reply = await io.call('review.submit', { text, submitted_by: by, priority })
        if (wait === true) return printReview(io, await analysed(io, String(reply['review_id'])))
        io.print(reply, (paint) => facts(Object.entries(reply), paint))
        io.note(`See it with: vestry review show ${cellText(reply['review_id'])}`)
      }),
    )

  review
    .command('claim')
    .description('say that you are looking at it')
    .argument('<id>', 'the review')
    .action(
      run(async (io, id: string) =>
        printState(io, await io.call('review.claim', { review_id: id })),
      ),
    )

  for (const [name, decision, description] of DECISIONS) {
    review
      .command(name)
      .description(description)
      .argument('<id>', 'the review')
      .option(
        '--comments <text>',
        name === 'approve' ? 'why; required with critical findings' : 'why',
      )
      .action(
        run(async (io, id: string, { comments }: { comments?: string }) => {
          const reply = await io.call('review.decide', { review_id: id, decision, comments })
          io.print(reply, (paint) => facts(Object.entries(reply), paint))
          if (reply['next_action'] === 'signing')
            io.note(`Next: vestry review sign ${safeText(id)}`)
        }),
      )
  }

  review
    .command('reanalyze')
    .description('have it analysed again, by the rules of today')
    .argument('<id>', 'the review')
    .action(
      run(async (io, id: string) =>
        printState(io, await io.call('review.reanalyze', { review_id: id })),
      ),
    )
}

const DECISIONS = [
  ['approve', 'approve', 'approve a tool, so that it can be signed'],
  ['reject', 'reject', 'turn a tool down for good'],
  ['escalate', 'escalate', 'leave it to somebody more senior, as urgent'],
] as const

/** @throws VestryError TIMEOUT when others are analysed before it for longer than anybody waits. */
async function analysed(io: CommandIo, id: string): Promise<Row> {
  const give = performance.now() + LONGEST_WAIT_MS
  return io.admin(async (admin) => {
    for (;;) {
      const { signal } = io
      const reply = await admin.call('admin.review.show', { review_id: id }, { signal })
      if (!UNDER_WAY.has(String(reply['status']))) return reply
      if (performance.now() > give)
        throw new VestryError('TIMEOUT', `${id} is still being analysed`, {
          hint: `Look later: vestry review show ${id}`,
        })
      await sleep(LOOK_EVERY_MS, undefined, { signal })
    }
  }, 'waiting for the analysis')
}

async function printReview(io: CommandIo, reply: Row): Promise<void> {
  const { reviewText } = await import('./review-view.ts')
  const columns = terminalColumns(io.terminal.stdout, io.env)
  io.print(reply, (paint) => reviewText(reply, columns, paint))
}

async function printState(io: CommandIo, reply: Row): Promise<void> {
  const { stateText } = await import('./review-view.ts')
  io.print(reply, (paint) =>
    facts(
      [
        ['review', reply['review_id']],
        ['state', stateText(reply)],
        ['reviewer', rowOf(reply, 'state')['human_reviewer_id'] ?? undefined],
      ],
      paint,
    ),
  )
}

async function printReviews(
  io: CommandIo,
  reply: Row,
  rows: readonly Row[],
  empty: string,
): Promise<void> {
  const { riskStyle, stateStyle, stateText } = await import('./review-view.ts')
  const { markedText } = await import('./marked-text.ts')
  io.print(reply, (paint) =>
    table(
      [
        { title: 'REVIEW', value: 'review_id' },
        { title: 'STATE', value: stateText, style: stateStyle },
        { title: 'RISK', value: 'risk_score', align: 'right', style: riskStyle },
        { title: 'PRIORITY', value: 'priority' },
        { title: 'TOOL', value: (row) => markedText(String(rowOf(row, 'tool')['name']), noPaint) },
        { title: 'BY', value: 'submitted_by' },
      ],
      rows,
      { paint, empty },
    ),
  )
}

async function readTool(io: CommandIo, file: string): Promise<string> {
  if (file === '-') return readInput(io)
  const { text } = await readTextFile(file, {
    maxBytes: MAX_FILE_BYTES,
    invalid: 'INVALID_PARAMS',
    hint: 'Check the path',
  })
  if (text.trim() === '') throw new VestryError('INVALID_PARAMS', `${file} is empty`)
  return text
}

async function readInput(io: CommandIo): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of io.terminal.stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > MAX_FILE_BYTES)
      throw new VestryError('INVALID_PARAMS', `The tool is larger than ${MAX_FILE_BYTES} bytes`)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}
