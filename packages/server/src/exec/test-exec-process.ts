/** Runs one plan, given as JSON, in a process of its own: an agent process has the standard streams of its parent. */
import { type ExecPlan, execAgent } from './exec.ts'

const [given = '{}'] = process.argv.slice(2)
const plan = JSON.parse(given) as Partial<ExecPlan>

try {
  process.exitCode = await execAgent({
    command: [],
    run: {},
    pod: {},
    podSockets: undefined,
    extra: {},
    vault: undefined,
    repository: undefined,
    shown: [],
    hidden: [],
    uid: undefined,
    sandbox: 'auto',
    own: process.env,
    directory: process.cwd(),
    warn: (text) => process.stderr.write(`warning: ${text}\n`),
    ...plan,
  })
} catch (error) {
  process.stderr.write(`${String(error)}\n`)
  process.exitCode = 99
}
