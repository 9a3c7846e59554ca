/**
 * `vestry forward`: a Unix socket here for a gateway far away. Holds no secrets, needs no daemon and no home,
 * and runs in the foreground until it is told to end.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { type Command, Option } from 'commander'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { integer } from './option-value.ts'
import { safeText } from './terminal-text.ts'

interface ForwardOptions {
  listen: string
  to: string
  ca?: string
  mode: number
  maxConnections: number
  connectTimeout: number
}

/** Between two lines about a gateway that cannot be reached. */
const SAY_EVERY_MS = 10_000
/** As long as a gateway gives its own requests. */
const DRAIN_MS = 30_000

export function forwardCommand(program: Command, run: Run): void {
  program
    .command('forward')
    .description('pass a Unix socket on to a gateway far away, without holding a secret')
    .requiredOption('--listen <socket>', 'Unix socket to make')
    .requiredOption('--to <address>', 'HOST:PORT of the gateway, or https://HOST:PORT')
    .option('--ca <file>', 'authorities (PEM) trusted besides the system’s, for https')
    .addOption(
      new Option('--mode <octal>', 'mode of the socket')
        .argParser(socketMode)
        .default(0o600, '0600'),
    )
    .option(
      '--max-connections <n>',
      'connections at once; more are told to come again',
      integer('--max-connections', 1, 10_000),
      512,
    )
    .option(
      '--connect-timeout <s>',
      'seconds until the gateway counts as unreachable',
      integer('--connect-timeout', 1, 60),
      5,
    )
    .action(run(forward))
}

async function forward(io: CommandIo, options: ForwardOptions): Promise<void> {
  const [{ parseTarget, targetText }, { assertNoSecrets }, { assertTlsEnvironment }] =
    await Promise.all([
      import('../forward/target.ts'),
      import('../forward/no-secrets.ts'),
      import('../egress/guard.ts'),
    ])
  const target = parseTarget(options.to)
  assertNoSecrets(io.env)
  assertTlsEnvironment(io.env)
  if (options.ca !== undefined && !target.tls) {
    throw new VestryError('USAGE', '--ca needs an https:// address')
  }
  const caPem = options.ca === undefined ? undefined : certificates(options.ca)
  const [{ Forwarder, FORWARDER_LIMITS }, { dialer }] = await Promise.all([
    import('../forward/forwarder.ts'),
    import('../egress/dial.ts'),
  ])
  const timeoutMs = options.connectTimeout * 1_000
  const dial = dialer(target, { timeoutMs, ...(caPem !== undefined && { caPem }) })
  const socket = resolve(options.listen)
  const forwarder = new Forwarder({
    dial,
    limits: { ...FORWARDER_LIMITS, maxConnections: options.maxConnections },
    onUnreachable: saidRarely((error) => {
      io.warn(`${targetText(target)} cannot be reached: ${error.message}`)
    }),
  })
  const stopped = untilStopped(io.signal)
  await forwarder.listen(socket, options.mode)
  const document = { socket, to: targetText(target), pid: process.pid }
  io.print(document, `ready  ${safeText(socket)}  to ${safeText(document.to)}  pid ${process.pid}`)
  await stopped
  await io.busy('finishing what is under way', () => forwarder.close(DRAIN_MS))
}

function socketMode(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8)
  throw new VestryError('USAGE', '--mode expects an octal mode such as 0660', {
    hint: 'See --help',
  })
}

function certificates(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
    throw new VestryError('NOT_FOUND', `${file} cannot be read${reason}`, { cause })
  }
}

/** The first, and then one in a while with the number of those that were kept back. */
function saidRarely(say: (error: Error) => void): (error: Error) => void {
  let saidAtMs = Number.NEGATIVE_INFINITY
  let kept = 0
  return (error) => {
    const nowMs = performance.now()
    if (nowMs - saidAtMs < SAY_EVERY_MS) {
      kept += 1
      return
    }
    saidAtMs = nowMs
    say(kept === 0 ? error : new Error(`${error.message} (and ${kept} times more)`))
    kept = 0
  }
}

function untilStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw new VestryError('SHUTTING_DOWN', 'stopped before it started')
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
