import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { boot, operator, temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'

test('vault §28.37: an environment that switches TLS checks off is refused, with --insecure-dev too', async () => {
  using home = temporaryHome()
  for (const insecureDev of [false, true]) {
    await expect(
      boot(home, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' }, insecureDev }),
    ).rejects.toMatchObject({ code: 'CONFIG_INVALID', hint: expect.stringContaining('ca_file') })
  }
  await (await boot(home, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '1' } })).stop()
})

test.for([
  ['--inspect'],
  ['--inspect-brk=0'],
  ['--heapsnapshot-signal=SIGUSR2'],
  ['--heap-prof'],
  ['--tls-keylog=/tmp/keys'],
  ['--abort-on-uncaught-exception'],
])('%s exposes memory: refused on the command line and in NODE_OPTIONS', async ([flag]) => {
  using home = temporaryHome()
  const refused = expect.objectContaining({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining((flag as string).split('=')[0] as string),
    hint: expect.stringContaining('--insecure-dev'),
  })
  await expect(boot(home, { execArgv: [flag as string] })).rejects.toEqual(refused)
  await expect(boot(home, { env: { NODE_OPTIONS: `--no-warnings ${flag}` } })).rejects.toEqual(
    refused,
  )
  await (await boot(home, { execArgv: [flag as string], insecureDev: true })).stop()
})

test('harmless flags are no reason to refuse', async () => {
  using home = temporaryHome()
  const execArgv = ['--conditions=source', '--trace-warnings', '--max-old-space-size=512']
  await (await boot(home, { execArgv })).stop()
})

test('key files that others may read are refused by name', async () => {
  using home = temporaryHome()
  await (await boot(home)).stop()
  for (const file of [home.operatorKey, home.adminKey, home.devKeyFile]) {
    chmodSync(file, 0o640)
    await expect(boot(home)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(file),
      hint: expect.stringContaining('chmod 600'),
    })
    chmodSync(file, 0o600)
  }
  writeFileSync(join(home.keys, 'scout.pub'), 'public', { mode: 0o644 })
  await (await boot(home)).stop()
})

test('vault §28.45: SIGUSR1 opens no debugger port, and is recorded', async () => {
  using home = temporaryHome()
  await using daemon = await DaemonProcess.start(home.dir)
  daemon.child.kill('SIGUSR1')
  daemon.child.kill('SIGUSR1')
  const log = () => readFileSync(join(home.audit, 'audit.jsonl'), 'utf8')
  await expect.poll(log, { timeout: 10_000 }).toContain('host.debugger_refused')
  expect(await isOpen(9229)).toBe(false)
  const admin = await operator(home)
  expect(await admin.call('ping')).toEqual({ pong: true })
  admin.destroy()
})

test('vault §28.45: nor while the daemon starts', async () => {
  using home = temporaryHome()
  const starting = DaemonProcess.start(home.dir)
  // Earlier than this Node itself still loads; then the listener is the first thing that is installed.
  await expect
    .poll(() => readFileSync(join(home.audit, 'audit.lock'), 'utf8'), { timeout: 10_000 })
    .toContain('pid')
  const { pid } = JSON.parse(readFileSync(join(home.audit, 'audit.lock'), 'utf8')) as {
    pid: number
  }
  process.kill(pid, 'SIGUSR1')
  await using daemon = await starting
  expect(daemon.ready.pid).toBe(pid)
  expect(await isOpen(9229)).toBe(false)
})

test('SIGUSR2 is the emergency seal', async () => {
  using home = temporaryHome()
  await using daemon = await DaemonProcess.start(home.dir)
  daemon.child.kill('SIGUSR2')
  await expect
    .poll(async () => (await fetch(`${daemon.ready.http}/ready`)).status, { timeout: 10_000 })
    .toBe(503)
  expect(await (await fetch(`${daemon.ready.http}/health`)).json()).toMatchObject({ sealed: true })
})

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ port, host: '127.0.0.1' })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}
