/** A daemon's MCP part in a process that is there to be killed: starts a server with two children and tells their pids. */
import { testHub } from './hub.test-kit.ts'

const hub = await testHub({ dir: process.argv[2] ?? '' })
await hub.connect('doomed', { fault: 'stubborn' })
const pids = [hub.servers.server('doomed')?.pid ?? 0]
for (const detached of [false, true])
  pids.push(Number(await hub.call('doomed', 'child', { detached, stubborn: true })))
process.stdout.write(`${JSON.stringify(pids)}\n`)
