import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { VERSION } from '@vestry/contract/version'
import { RpcConnection, SanctumClient } from '@vestry/sdk/vault'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliHome, DEFAULT_HOME } from './cli.test-kit.ts'

const cli = new CliHome()

beforeAll(async () => {
  await cli.run(['init', '--passphrase-file', cli.passphraseFile])
  await cli.up()
})

afterAll(() => cli[Symbol.asyncDispose]())

test('slots, shares, passphrase, rotation, seal and unseal', async () => {
  const proof = ['--passphrase-file', cli.passphraseFile]
  const added = await cli.json([
    'slot',
    'add',
    'shamir',
    '--shares',
    '3',
    '--threshold',
    '2',
    ...proof,
  ])
  expect(added.json.shares).toHaveLength(3)
  expect((await cli.json(['slot', 'list'])).json.slots).toHaveLength(2)
  expect((await cli.json(['rotate-keyring'])).json).toMatchObject({ term: 2 })

  expect((await cli.json(['seal'])).json).toMatchObject({ sealed: true })
  await expect.poll(async () => (await cli.json(['status'])).json.sealed).toBe(true)
  const locked = await cli.json(['agent', 'list'])
  expect(locked).toMatchObject({ exitCode: 1, json: { error: { code: 'VAULT_LOCKED' } } })
  const [first, , third] = added.json.shares
  const half = await cli.json(['unseal', '--share-stdin'], first)
  expect(half.json).toMatchObject({ sealed: true, progress: { have: 1, need: 2 } })
  expect((await cli.json(['unseal', '--share-stdin'], third)).json.sealed).toBe(false)

  const next = cli.file('next', 'another long passphrase')
  const changed = await cli.json(['passwd', ...proof, '--new-passphrase-file', next])
  expect(changed.exitCode).toBe(0)
  const wrong = await cli.json(['slot', 'rm', added.json.slot.id, ...proof])
  expect(wrong.json.error.code).toBe('UNSEAL_FAILED')
  const root = await cli.json(['rotate-root', '--passphrase-file', next])
  expect(root.json.dropped).toEqual([added.json.slot.id])
})

test('backup, stop, restore into a new home, start there', async () => {
  const made = await cli.json(['backup', join(cli.base, 'backups')])
  expect(made.json.directory).toContain(join(cli.base, 'backups'))
  expect((await cli.json(['stop'])).json).toMatchObject({ stopped: true })
  expect(existsSync(join(cli.home, 'run', 'ready.json'))).toBe(false)
  expect((await cli.json(['status'])).exitCode).toBe(4)
  const home = join(cli.base, 'r')
  const restored = await cli.run(['restore', made.json.directory, '--json'], '', home)
  expect(restored).toMatchObject({ exitCode: 0, json: { home, sealed: true } })
  const again = await cli.run(['restore', made.json.directory, '--json'], '', home)
  expect(again.json.error.code).toBe('CONFLICT')
  const { child, line, err } = await cli.up([], home)
  expect(line).toContain('sealed')
  expect(err()).toContain('vestry unseal')
  const opened = await cli.run(
    ['unseal', '--passphrase-file', join(cli.base, 'next'), '--json'],
    '',
    home,
  )
  expect(opened.json).toMatchObject({ sealed: false })
  child.kill('SIGTERM')
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
})

test('init with a key file and shares: the daemon unseals itself', async () => {
  const home = join(cli.base, 'k')
  const keyfile = join(cli.base, 'unseal.key')
  const made = await cli.run(
    ['init', '--shares', '3', '--threshold', '2', '--keyfile', keyfile, '--json'],
    '',
    home,
  )
  expect(made.json.shares).toHaveLength(3)
  expect(statSync(keyfile).mode & 0o777).toBe(0o600)
  expect(readFileSync(join(home, 'vestry.yaml'), 'utf8')).toContain(keyfile)
  const { child, line } = await cli.up(['--json'], home)
  expect(JSON.parse(line)).toMatchObject({ pid: child.pid, version: VERSION })
  expect(JSON.parse(line)).not.toHaveProperty('sealed')
  const connection = await RpcConnection.open(join(home, 'run', 'admin.sock'))
  expect(await connection.call('status')).toMatchObject({ sealed: false })
  await connection.close()
  child.kill('SIGINT')
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
})

test('in the default home, keys and socket also lie where the published clients look', async () => {
  const { child } = await cli.up(['--dev'], DEFAULT_HOME)
  const user = join(cli.base, 'user')
  const added = await cli.run(['agent', 'add', 'scout', '--json'], '', DEFAULT_HOME)
  expect(added.json.key_files).toEqual([
    join(user, '.vestry', 'keys', 'scout.key'),
    join(user, '.sanctum', 'keys', 'scout.key'),
  ])
  expect(statSync(join(user, '.sanctum', 'keys', 'scout.key')).mode & 0o777).toBe(0o600)
  await using client = new SanctumClient('scout', {
    socketPath: join(user, '.sanctum', 'vault.sock'),
    keyPath: join(user, '.sanctum', 'keys', 'scout.key'),
  })
  await client.connect()
  expect(await client.list()).toEqual([])
  child.kill('SIGTERM')
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
})
