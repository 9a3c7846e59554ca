/** `vestry doctor`: looks at the set-up and says what to do. Works with and without a daemon. */
import type { Command } from 'commander'
import { counted } from './cell.ts'
import type { Check } from './check.ts'
import type { Run } from './command.ts'
import { EXIT } from './exit-code.ts'
import type { Paint, Style } from './style.ts'
import { safeText } from './terminal-text.ts'

export function doctorCommand(program: Command, run: Run): void {
  program
    .command('doctor')
    .description('check the set-up and say what to do')
    .option('--config <file>', 'configuration file (default: vestry.yaml in the home)')
    .action(
      run(async (io, options: { config?: string }) => {
        const [{ checkHost }, { checkHome, readConfig }, { checkAgents }, { checkDaemon }] =
          await Promise.all([
            import('./doctor-host.ts'),
            import('./doctor-home.ts'),
            import('./doctor-agents.ts'),
            import('./doctor-daemon.ts'),
          ])
        const given = { config: options.config, env: io.env }
        const settings = readConfig(io.home, given)
        const config = 'config' in settings ? settings.config : undefined
        const checks = [
          ...checkHost(io.env, process.execArgv),
          ...checkHome(io.home, given),
          ...checkAgents(io.home, config, io.env),
          ...(await checkDaemon(io, config)),
        ]
        const count = (status: Check['status']) =>
          checks.filter((check) => check.status === status).length
        const summary = { ok: count('ok'), warn: count('warn'), fail: count('fail') }
        if (summary.fail > 0) io.exitCode = EXIT.failed
        io.print({ healthy: summary.fail === 0, summary, checks }, (paint) => {
          const lines = checks.map((check) => checkLines(check, paint)).join('')
          return `${lines}\n${summary.ok} ok, ${counted(summary.warn, 'warning')}, ${counted(summary.fail, 'failure')}\n`
        })
      }),
    )
}

const STYLES: Readonly<Record<Check['status'], Style>> = {
  ok: 'green',
  warn: 'yellow',
  fail: 'red',
}

function checkLines({ name, status, message, advice }: Check, paint: Paint): string {
  const label = paint(STYLES[status], status.padEnd(4))
  const line = `${label}  ${safeText(name).padEnd(18)}  ${safeText(message)}\n`
  return advice === undefined ? line : `${line}${' '.repeat(26)}→ ${safeText(advice)}\n`
}
