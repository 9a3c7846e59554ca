/** What the files of a home are like: permissions, file system, configuration, record. */
import { accessSync, constants, existsSync, lstatSync, readdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, loadConfig } from '../app/config.ts'
import type { Home } from '../app/home.ts'
import { isInside } from '../seal/keyfile-load.ts'
import { type Check, fail, ok, warn } from './check.ts'
import { failureOf } from './failure.ts'

/** Magic numbers of statfs(2) that matter here. */
const MEMORY_ONLY = new Set([0x01021994 /* tmpfs */, 0x858458f6 /* ramfs */])
const NETWORK = new Set([
  0x6969 /* nfs */, 0xff534d42 /* cifs */, 0xfe534d42 /* smb2 */, 0x517b /* smb */,
])
const LOW_SPACE = 268_435_456

export function checkHome(
  home: Home,
  { config, env }: { config: string | undefined; env: NodeJS.ProcessEnv },
): Check[] {
  const settings = readConfig(home, { config, env })
  const found = 'check' in settings ? [settings.check] : checkConfig(settings.config, home)
  if (!existsSync(home.dir)) {
    return [warn('home', `${home.dir} does not exist`, 'Run "vestry init"'), ...found]
  }
  return [
    ...[home.dir, home.keys, home.audit, home.run].map((dir) => privateDirectory(dir)),
    ...privateFiles(home),
    ...sockets(home),
    ...fileSystem(home.dir),
    record(home),
    ...found,
  ].filter((check) => check !== undefined)
}

export function privateDirectory(dir: string): Check | undefined {
  if (!existsSync(dir)) return undefined
  const { mode, uid } = lstatSync(dir)
  const own = process.getuid?.()
  if (own !== undefined && own !== 0 && uid !== own) {
    return fail('permissions', `${dir} belongs to uid ${uid}`, `Run: chown -R $(id -u) ${dir}`)
  }
  if ((mode & 0o077) === 0) return ok('permissions', `${dir} is private`)
  return fail('permissions', `${dir} has mode ${octal(mode)}`, `Run: chmod 700 ${dir}`)
}

/** Private keys and the store; public halves may be read by anybody. */
function privateFiles(home: Home): Check[] {
  const inKeys = existsSync(home.keys)
    ? readdirSync(home.keys).map((name) => join(home.keys, name))
    : []
  const secret = inKeys.filter((path) => !/\.pub(?:\.old)?$/.test(path))
  const files = [...secret, home.store, home.devKeyFile, home.config].filter((path) =>
    existsSync(path),
  )
  const open = files.filter((path) => (lstatSync(path).mode & 0o077) !== 0)
  if (open.length === 0)
    return files.length === 0 ? [] : [ok('key files', `${files.length} files are private`)]
  return open.map((path) =>
    fail('key files', `${path} has mode ${octal(lstatSync(path).mode)}`, `Run: chmod 600 ${path}`),
  )
}

function sockets(home: Home): Check[] {
  return [home.vaultSocket, home.adminSocket].flatMap((path) => {
    if (!existsSync(path)) return []
    const { mode } = lstatSync(path)
    if ((mode & 0o007) === 0) return [ok('sockets', `${path} has mode ${octal(mode)}`)]
    return [
      fail('sockets', `${path} is open to everybody`, 'Set vault.socket_mode to "0600" or "0660"'),
    ]
  })
}

function fileSystem(dir: string): Check[] {
  const { type, bavail, bsize } = statfsSync(dir)
  const free = bavail * bsize
  const place = MEMORY_ONLY.has(type)
    ? warn(
        'file system',
        `${dir} is in memory: a restart of the machine loses the vault`,
        'Choose a --home on a disk',
      )
    : NETWORK.has(type)
      ? warn(
          'file system',
          `${dir} is on a network file system`,
          'Use a local disk, or PostgreSQL as the store',
        )
      : ok('file system', 'on a disk')
  const megabytes = Math.floor(free / 1_048_576)
  const space =
    free < LOW_SPACE
      ? fail(
          'disk space',
          `${megabytes} MiB are free`,
          'Make room: a full disk stops the record, and with it every action',
        )
      : ok('disk space', `${megabytes} MiB are free`)
  return [place, space]
}

function record(home: Home): Check | undefined {
  if (!existsSync(home.audit)) return undefined
  try {
    accessSync(home.audit, constants.W_OK)
    return ok('record', `${home.audit} can be written`)
  } catch {
    return fail(
      'record',
      `${home.audit} cannot be written`,
      'Without the record nothing is allowed; mend its permissions',
    )
  }
}

export function checkConfig(config: Config, home: Home): Check[] {
  const { http, vault, gateway } = config
  const checks = [ok('configuration', 'is valid')]
  if (!isLoopback(http.host)) {
    checks.push(
      warn(
        'http',
        `${http.host} without TLS: keys cross the network in clear`,
        'Put a TLS proxy in front of it',
      ),
    )
  }
  if (vault.listen_tcp !== undefined && !isLoopback(vault.listen_tcp.replace(/:\d+$/, ''))) {
    checks.push(
      warn('vault tcp', `${vault.listen_tcp} is not encrypted`, 'Use a Unix socket or a tunnel'),
    )
  }
  checks.push(
    gateway.agent_auth_mode === 'signed'
      ? ok('agent tokens', 'are given for signed requests only')
      : warn(
          'agent tokens',
          'whoever reaches the port and knows the id of an agent gets a token of it',
          'Set gateway.agent_auth_mode: signed, unless older clients call',
        ),
  )
  const keyFile = vault.keyfile ?? (existsSync(home.devKeyFile) ? home.devKeyFile : undefined)
  if (keyFile !== undefined) {
    checks.push(
      isInside(home.dir, keyFile)
        ? warn(
            'unseal key',
            `${keyFile} lies beside the data it opens`,
            'Keep it on another disk, or use a passphrase',
          )
        : existsSync(keyFile)
          ? ok('unseal key', `${keyFile} lies apart from the data`)
          : fail('unseal key', `${keyFile} is missing`, 'Bring it back, or unseal by passphrase'),
    )
  }
  return checks
}

export function readConfig(
  home: Home,
  given: { config: string | undefined; env: NodeJS.ProcessEnv },
): { config: Config } | { check: Check } {
  const file = given.config ?? home.config
  try {
    return { config: loadConfig(file, given.env, { required: given.config !== undefined }) }
  } catch (error) {
    const { message, hint } = failureOf(error)
    return { check: fail('configuration', message, hint ?? `Correct ${file}`) }
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || /^\[?::1\]?$/.test(host) || /^127(?:\.\d{1,3}){3}$/.test(host)
}

function octal(mode: number): string {
  return `0${(mode & 0o777).toString(8)}`
}
