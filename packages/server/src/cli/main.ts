/** Runs the command line of this process. */
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'

const interrupted = new AbortController()

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // Asked twice: whatever is still going on is not worth waiting for.
    if (interrupted.signal.aborted) process.exit(1)
    interrupted.abort(new VestryError('SHUTTING_DOWN', `ended by ${signal}`))
  })
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

const argv = process.argv.slice(2)
if (argv.length === 1 && argv[0] === '--version') {
  // The one answer that needs nothing loaded.
  process.stdout.write(`${VERSION}\n`)
} else {
  const { runProgram } = await import('./program.ts')
  process.exitCode = await runProgram(argv, process, interrupted.signal)
}
