/** `vestry agent run | history`: starts an agent that the daemon itself runs, and tells what came of it. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import { integer } from './option-value.ts'
import type { Style } from './style.ts'
import { facts, table } from './table.ts'
import { safeLines } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'

/** What the daemon accepts. */
const MAX_INPUT_BYTES = 1_048_576
const WAIT_MS = 20_000

interface RunOptions {
  input?: string
  inputFile?: string
  watch?: boolean
}

export function agentRunCommands(agent: Command, run: Run): void {
  agent
    .command('run')
    .description('have the daemon run an agent, and print what it answers')
    .argument('<name>', 'the agent; it needs a definition')
    .option('--input <text>', 'what it is asked')
    .option('--input-file <file>', 'the same from a file')
    .option('--watch', 'tell each step on stderr')
    .action(
      run(async (io, name: string, options: RunOptions) => {
        const input = await inputOf(options)
        const started = await io.call('agent.run', {
          name,
          ...(input !== undefined && { input }),
        })
        const id = String(started['execution_id'])
        io.note(`execution ${id}; "vestry trace ${id}" shows all of it`)
        const ended = await followed(io, id, options.watch === true)
        if (ended['status'] !== 'completed') io.exitCode = EXIT.failed
        io.print(ended, (paint) => {
          const output = rowOf(ended, 'result')['output']
          if (ended['status'] === 'completed') return safeLines(String(output ?? ''))
          return facts(endFacts(ended), paint)
        })
      }),
    )

  agent
    .command('history')
    .description('list what an agent was run for, newest first')
    .argument('<name>', 'the agent')
    .option('--limit <n>', 'at most this many (default: 50)', integer('--limit', 1, 1_000))
    .action(
      run(async (io, name: string, { limit }: { limit?: number }) => {
        const reply = await io.call('agent.history', { name, limit })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'EXECUTION', value: 'execution_id' },
              {
                title: 'STATUS',
                value: 'status',
                style: ({ status }) => STYLES[String(status)],
              },
              { title: 'STARTED BY', value: 'trigger' },
              { title: 'AT', value: 'timestamp' },
              { title: 'MS', value: 'duration_ms', align: 'right' },
              { title: 'MODEL CALLS', value: 'iterations', align: 'right' },
              { title: 'TOOL CALLS', value: 'tool_calls', align: 'right' },
              { title: 'ERROR', value: (row) => rowOf(row, 'error')['code'] },
            ],
            rowsOf(reply, 'history'),
            { paint, empty: 'it was never run; run it with "vestry agent run NAME"' },
          ),
        )
      }),
    )
}

const STYLES: Readonly<Record<string, Style>> = {
  completed: 'green',
  failed: 'red',
  timeout: 'red',
}

async function inputOf({ input, inputFile }: RunOptions): Promise<string | undefined> {
  if (input !== undefined && inputFile !== undefined)
    throw new VestryError('USAGE', '--input and --input-file exclude each other')
  if (inputFile === undefined) return input
  const { text } = await readTextFile(inputFile, {
    maxBytes: MAX_INPUT_BYTES,
    invalid: 'INVALID_PARAMS',
    hint: 'Check the path',
  })
  return text
}

/** Until its end. Each answer comes when it has moved on, so nothing is asked for in vain. */
async function followed(io: CommandIo, id: string, watch: boolean): Promise<Row> {
  let told = 0
  for (;;) {
    const reply = await io.call('agent.execution', {
      id,
      wait_ms: WAIT_MS,
      ...(watch && { seen: told }),
    })
    const steps = rowsOf(reply, 'steps')
    if (watch) for (const step of steps.slice(told)) io.note(stepText(step))
    told = Math.max(told, steps.length)
    if (reply['status'] !== 'pending' && reply['status'] !== 'running') return reply
    io.signal.throwIfAborted()
  }
}

function stepText(step: Row): string {
  const ms = `${String(step['duration_ms'])} ms`
  if (step['kind'] === 'model') {
    const calls = Number(step['tool_calls'])
    const asks = calls === 0 ? 'answers' : `asks for ${calls} ${calls === 1 ? 'call' : 'calls'}`
    return `model  ${asks}  ${String(step['completion_tokens'])} tokens  ${ms}`
  }
  const code = step['code'] === undefined ? '' : `  ${String(step['code'])}`
  return `tool   ${String(step['tool'])}  ${String(step['status'])}${code}  ${ms}`
}

function endFacts(ended: Row): [string, unknown][] {
  const { code, message } = rowOf(ended, 'error')
  return [
    ['execution', ended['execution_id']],
    ['status', ended['status']],
    ['error', code],
    ['message', message],
    ['model calls', ended['iterations']],
    ['tool calls', ended['tool_calls']],
    ['refused', ended['denied']],
  ]
}
