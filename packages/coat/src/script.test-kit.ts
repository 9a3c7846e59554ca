/** A program that uses the library, as a process of its own. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const INDEX = pathToFileURL(join(import.meta.dirname, 'index.ts')).href

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** @param text Statements of a module that has imported the library. */
export async function script(
  text: string,
  env: Record<string, string> = {},
  flags: readonly string[] = [],
): Promise<Ended> {
  const code = `import { coat, configure, current, flush, shutdown, stats, tie } from ${JSON.stringify(INDEX)}
    ${text}`
  const args = [
    '--no-warnings',
    '--conditions=source',
    ...flags,
    '--input-type=module',
    '--eval',
    code,
  ]
  const options = {
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      ...env,
    },
    timeout: 20_000,
  }
  try {
    const { stdout, stderr } = await run(process.execPath, args, options)
    return { code: 0, stdout, stderr }
  } catch (error) {
    // The killed one has no code: a process that hangs is a failure of its own.
    const { code, stdout, stderr } = error as { code?: unknown; stdout: string; stderr: string }
    return { code: typeof code === 'number' ? code : null, stdout, stderr }
  }
}

export function envelopes({ stderr }: Ended): { kind: string; payload: Record<string, unknown> }[] {
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('[coat] '))
    .map((line) => JSON.parse(line.slice('[coat] '.length)))
}
