/** A daemon in a process of its own, for measuring: `daemon-process.ts HOME`. */
import { loadConfig } from '../packages/server/src/app/config.ts'
import { startDaemon } from '../packages/server/src/app/daemon.ts'
import { homeAt } from '../packages/server/src/app/home.ts'

const home = homeAt(process.argv[2], {})
const daemon = await startDaemon({
  home,
  config: loadConfig(home.config, {}),
  env: {},
  execArgv: [],
  dev: true,
  insecureDev: false,
  acceptRollback: false,
  storeUrl: undefined,
  port: 0,
  passphrase: undefined,
  warn: () => undefined,
})
process.stdout.write('ready\n')
process.on('SIGTERM', () => void daemon.stop().then(() => process.exit(0)))
process.on('message', (message) => {
  if (message === 'rss') process.send?.({ rss: process.memoryUsage().rss })
})
