import { chmodSync, mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { homeAt } from '../app/home.ts'
import { checkServer, checkSlots, checkTools, isWide } from './doctor-daemon.ts'
import { checkHome } from './doctor-home.ts'
import { clock, coreDumps, environment, nodeVersion, openFiles, swap, user } from './doctor-host.ts'

test.each([
  ['24.15.0', 'ok'],
  ['26.0.0', 'ok'],
  ['24.14.9', 'fail'],
  ['20.20.2', 'fail'],
])('Node %s is %s', (version, status) => {
  expect(nodeVersion(version)).toMatchObject({ status })
})

test('limits, swap, user and clock', () => {
  const limits = (core: string, files: string) =>
    `Limit                     Soft Limit           Hard Limit           Units\n` +
    `Max core file size        ${core}                    unlimited            bytes\n` +
    `Max open files            ${files}                 20000                files\n`
  expect(coreDumps(limits('0', '1'))).toMatchObject({ status: 'ok' })
  expect(coreDumps(limits('unlimited', '1'))).toMatchObject({ status: 'warn' })
  expect(openFiles(limits('0', '1024'))).toMatchObject({ status: 'warn' })
  expect(openFiles(limits('0', 'unlimited'))).toMatchObject({ status: 'ok' })
  const swaps = (...areas: string[]) =>
    ['Filename Type Size', ...areas.map((a) => `${a} partition 1`), ''].join('\n')
  expect(swap(swaps())).toMatchObject({ status: 'ok' })
  expect(swap(swaps('/dev/zram0'))).toMatchObject({ status: 'ok' })
  expect(swap(swaps('/dev/sda2'))).toMatchObject({ status: 'warn' })
  expect(swap(undefined)).toMatchObject({ status: 'ok' })
  expect(user(0)).toMatchObject({ status: 'warn' })
  expect(user(1000)).toMatchObject({ status: 'ok' })
  expect(clock(0, false)).toMatchObject({ status: 'fail' })
  expect(clock(Date.UTC(2026, 5), true)).toMatchObject({ status: 'ok' })
})

test('an environment that opens the process fails', () => {
  expect(environment({}, [])).toMatchObject({ status: 'ok' })
  expect(environment({ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, [])).toMatchObject({ status: 'fail' })
  expect(environment({ NODE_OPTIONS: '--inspect=0.0.0.0' }, [])).toMatchObject({ status: 'fail' })
  expect(environment({}, ['--inspect-brk'])).toMatchObject({ status: 'fail' })
})

test('open permissions, a key beside the data and plain HTTP are named with what to do', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const home = homeAt(join(dir.path, 'home'), {})
  mkdirSync(home.dir, { mode: 0o755 })
  mkdirSync(home.keys, { mode: 0o700 })
  writeFileSync(join(home.keys, 'operator.key'), 'x', { mode: 0o644 })
  writeFileSync(join(home.keys, 'operator.pub'), 'x', { mode: 0o644 })
  chmodSync(home.dir, 0o755)
  chmodSync(join(home.keys, 'operator.key'), 0o644)
  writeFileSync(home.devKeyFile, 'x', { mode: 0o600 })
  writeFileSync(home.config, 'http: { host: 0.0.0.0 }\n', { mode: 0o600 })
  const found = checkHome(home, { config: undefined, env: {} })
  const named = (name: string) => found.filter((check) => check.name === name)
  expect(named('permissions')).toContainEqual(
    expect.objectContaining({ status: 'fail', advice: `Run: chmod 700 ${home.dir}` }),
  )
  expect(named('key files')).toEqual([
    expect.objectContaining({ status: 'fail', message: `${home.keys}/operator.key has mode 0644` }),
  ])
  expect(named('unseal key')).toEqual([expect.objectContaining({ status: 'warn' })])
  expect(named('http')).toEqual([expect.objectContaining({ status: 'warn' })])
})

test('a home that is not there and a configuration that is wrong', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const home = homeAt(join(dir.path, 'none'), {})
  const config = join(dir.path, 'bad.yaml')
  writeFileSync(config, 'htp: {}\n')
  expect(checkHome(home, { config, env: {} })).toEqual([
    expect.objectContaining({ name: 'home', status: 'warn', advice: 'Run "vestry init"' }),
    expect.objectContaining({ name: 'configuration', status: 'fail' }),
  ])
})

test('what the daemon tells: audit, attempts, slots', () => {
  const bad = checkServer({
    audit: { available: false },
    failed_unseals: 3,
    dev: true,
    term: { due: true },
  })
  expect(bad.map(({ name, status }) => `${name} ${status}`)).toEqual([
    'audit fail',
    'term key warn',
    'unseal warn',
    'mode warn',
  ])
  expect(checkSlots([{ type: 'keyfile' }]).map(({ status }) => status)).toEqual(['warn', 'warn'])
  expect(checkSlots([{ type: 'passphrase' }, { type: 'shamir' }])).toMatchObject([{ status: 'ok' }])
})

test('the gateway: what is live, what was forgotten, what fails, and what is only not used', () => {
  const tool = (name: string, facts: object) => ({
    name,
    origin: 'operator',
    mode: 'live',
    configured: true,
    credential: `tools/${name}`,
    breaker: 'closed',
    ...facts,
  })
  const checks = checkTools([
    tool('serpapi', { origin: 'builtin', configured: false }),
    tool('http_fetch', { origin: 'builtin', credential: null, configured: false }),
    tool('openai', { origin: 'builtin', mode: 'mock' }),
    tool('crm', { configured: false }),
    tool('erp', { breaker: 'open' }),
  ])
  expect(checks).toEqual([
    { name: 'gateway', status: 'ok', message: '2 tools live, 1 mocked, not set up: serpapi' },
    {
      name: 'gateway',
      status: 'warn',
      message: 'the tool crm has no credential',
      advice: 'Add it: vestry cred add tools/crm --value-stdin',
    },
    expect.objectContaining({ status: 'warn', message: 'the provider fails: erp' }),
  ])
})

test('token requests without signature are told, signed ones are fine', () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'doctor-'))
  const home = homeAt(join(dir.path, 'home'), {})
  const agentTokens = (settings: string) => {
    const config = join(dir.path, 'vestry.yaml')
    writeFileSync(config, settings)
    return checkHome(home, { config, env: {} }).find(({ name }) => name === 'agent tokens')
  }
  expect(agentTokens('gateway: { agent_auth_mode: signed }\n')).toMatchObject({ status: 'ok' })
  expect(agentTokens('http: { port: 8080 }\n')).toMatchObject({
    status: 'warn',
    advice: expect.stringContaining('gateway.agent_auth_mode: signed'),
  })
})

test.each([
  ['permit (principal, action, resource);', true],
  [
    'permit (principal in AgentGlob::"*", action in [Action::"vault:use"], resource in PathGlob::"**");',
    true,
  ],
  [
    'permit (principal, action == Action::"vault:use", resource in PathGlob::"a/*") when { context.host in HostGlob::"*" };',
    true,
  ],
  ['permit (principal, action == Action::"vault:use", resource in PathGlob::"a/*");', false],
  ['forbid (principal, action, resource);', false],
])('the policy %s is wide: %s', (cedar, wide) => {
  expect(isWide(cedar)).toBe(wide)
})
