/** `vestry dsl check | fmt | compile`: programs on disk. Works without a daemon. */
import { writeFile } from 'node:fs/promises'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type { Diagnostic } from '../dsl/diagnostic.ts'
import { MAX_SOURCE_BYTES } from '../dsl/parse.ts'
import { counted } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import { readTextFile } from './text-file.ts'

interface Source {
  readonly file: string
  readonly text: string
}

export function dslCommands(program: Command, run: Run): void {
  const dsl =
    program.commands.find((command) => command.name() === 'dsl') ??
    program.command('dsl').description('agents that are written as programs')

  dsl
    .command('check')
    .description('say what is wrong with programs; exit code 1 if one has errors')
    .argument('<file...>', 'files, or - for standard input')
    .action(
      run(async (io, files: string[]) => {
        const { compileSource } = await import('../dsl/compile.ts')
        const all = await sources(io, files)
        const found = all.map((source) => ({
          source,
          diagnostics: compileSource(source.text).diagnostics,
        }))
        await printDiagnostics(io, found)
      }),
    )

  dsl
    .command('fmt')
    .description('print programs in the common layout, or write them back')
    .argument('<file...>', 'files, or - for standard input')
    .option('--check', 'print nothing but the names of files that are laid out otherwise; exit 1')
    .option('--write', 'write the files back')
    .action(run(formatFiles))

  dsl
    .command('compile')
    .description('tell what a program means and may do; with --json the definition of its agent')
    .argument('<file>', 'a file, or - for standard input')
    .option('--agent <name>', 'this agent of several')
    .action(run(compile))
}

async function formatFiles(
  io: CommandIo,
  files: string[],
  options: { check?: boolean; write?: boolean },
): Promise<void> {
  if (options.write === true && files.includes('-')) {
    throw new VestryError('INVALID_PARAMS', 'standard input cannot be written back', {
      hint: 'Leave out --write: the program is printed',
    })
  }
  const { format } = await import('../dsl/format.ts')
  const results = (await sources(io, files)).map((source) => ({
    source,
    ...format(source.text),
  }))
  const wrong = results.filter(({ diagnostics }) => diagnostics.some(isError))
  if (wrong.length > 0) {
    await printDiagnostics(
      io,
      wrong.map(({ source, diagnostics }) => ({
        source,
        diagnostics: diagnostics.filter(isError),
      })),
    )
    return
  }
  const changed = results.filter(({ source, text }) => text !== source.text)
  if (options.write === true) {
    for (const { source, text } of changed) await writeFile(source.file, text)
  }
  const names = changed.map(({ source }) => source.file)
  if (options.check === true && changed.length > 0) io.exitCode = EXIT.failed
  const isList = options.check === true || options.write === true
  const shown = isList
    ? names.map((name) => `${name}\n`).join('')
    : results.map(({ text }) => text).join('')
  io.print({ changed: names, ...(!isList && { text: shown }) }, shown)
}

async function compile(io: CommandIo, file: string, options: { agent?: string }): Promise<void> {
  const { compileSource } = await import('../dsl/compile.ts')
  const [source] = await sources(io, [file])
  if (source === undefined) return
  const { agent: agentName } = options
  const compiled = compileSource(source.text, agentName === undefined ? {} : { agentName })
  const { agent, agents, diagnostics } = compiled
  if (!compiled.success) {
    await printDiagnostics(io, [{ source, diagnostics }])
    return
  }
  if (agent === undefined) {
    const names = agents.map(({ definition }) => definition.name).join(', ')
    throw new VestryError('INVALID_PARAMS', 'the file has several agents', {
      hint: `Choose one with --agent: ${names}`,
    })
  }
  for (const { code, message, span } of diagnostics) {
    io.warn(`${file}:${span.start.line}:${span.start.column}: ${code}: ${message}`)
  }
  const { programSummary } = await import('./dsl-summary.ts')
  io.print(agent.definition, programSummary(agent))
}

async function printDiagnostics(
  io: CommandIo,
  found: readonly { readonly source: Source; readonly diagnostics: readonly Diagnostic[] }[],
): Promise<void> {
  const { explain, wireDiagnostic } = await import('../dsl/explain.ts')
  const all = found.flatMap(({ diagnostics }) => diagnostics)
  const errors = all.filter(isError).length
  if (errors > 0) io.exitCode = EXIT.failed
  const files = found.map(({ source, diagnostics }) => ({
    file: source.file,
    diagnostics: diagnostics.map((one) => wireDiagnostic(one, source.text)),
  }))
  const blocks = found.flatMap(({ source, diagnostics }) =>
    diagnostics.map((one) => `${explain(one, source.text, source.file)}\n\n`),
  )
  const sum = `${counted(errors, 'error')}, ${counted(all.length - errors, 'warning')}\n`
  io.print({ errors, warnings: all.length - errors, files }, `${blocks.join('')}${sum}`)
}

function isError({ severity }: Diagnostic): boolean {
  return severity === 'error'
}

async function sources(io: CommandIo, files: readonly string[]): Promise<Source[]> {
  if (files.filter((file) => file === '-').length > 1) {
    throw new VestryError('INVALID_PARAMS', 'standard input can be read only once')
  }
  const found: Source[] = []
  for (const file of files) {
    const text = file === '-' ? await standardInput(io) : (await readTextFile(file, RULES)).text
    found.push({ file, text })
  }
  return found
}

/** One byte more than a program may have is enough to tell that it is too large. */
const RULES = {
  maxBytes: MAX_SOURCE_BYTES * 4,
  invalid: 'DSL_INVALID',
  hint: 'Name a file that holds a program, or - for standard input.',
} as const

async function standardInput(io: CommandIo): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of io.terminal.stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > RULES.maxBytes)
      throw new VestryError('INVALID_PARAMS', 'standard input is too large')
    chunks.push(bytes)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch (cause) {
    throw new VestryError('DSL_INVALID', 'standard input is not UTF-8 text', { cause })
  }
}
