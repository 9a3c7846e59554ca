/** What runs of agents need: private files, agents that may act, keys of other issuers, a sandbox, a true clock. */
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../app/config.ts'
import type { Home } from '../app/home.ts'
import type { SandboxProblems } from '../exec/probe.ts'
import { readBundle } from '../identity/runs/external-bundle.ts'
import { cellText, counted, type Row } from './cell.ts'
import { type Check, fail, ok, warn } from './check.ts'

/** Looking at more would take longer than a person waits. */
const MAX_LOOKED_AT = 1_000
const TOKENS = ['svid.jwt', 'trat.jwt']

/** Tokens and directories of runs are nobody else's. */
export function checkRunFiles(home: Home): Check[] {
  const open = (path: string): Check[] => {
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined || (found.mode & 0o077) === 0) return []
    const mode = `0${(found.mode & 0o777).toString(8)}`
    const wanted = found.isDirectory() ? '700' : '600'
    return [fail('run files', `${path} has mode ${mode}`, `Run: chmod ${wanted} ${path}`)]
  }
  const runs = existsSync(home.runs) ? readdirSync(home.runs).slice(0, MAX_LOOKED_AT) : []
  const paths = runs.flatMap((id) => ['', ...TOKENS].map((name) => join(home.runs, id, name)))
  const bad = [home.sidecars, home.runs, ...paths].flatMap(open)
  if (bad.length > 0) return bad
  return runs.length === 0 ? [] : [ok('run files', `${counted(runs.length, 'run')}, all private`)]
}

/** @param runs Those that are open. */
export function checkRunAgents(runs: readonly Row[], agents: readonly Row[]): Check[] {
  const status = new Map(agents.map((agent) => [agent['name'], agent['status']]))
  const orphans = runs.filter(({ agent }) => status.get(agent) !== 'enabled')
  if (orphans.length === 0) {
    return [ok('runs', runs.length === 0 ? 'none is open' : `${counted(runs.length, 'run')} open`)]
  }
  return orphans.map(({ run_id: id, agent }) => {
    const state = cellText(status.get(agent) ?? 'revoked')
    return warn(
      'runs',
      `${cellText(id)} is open, and its agent ${cellText(agent)} is ${state}: all its calls are refused`,
      `Close it: vestry run close ${cellText(id)}`,
    )
  })
}

type Identity = Pick<Config['identity'], 'bundle_file' | 'bundle_url'>

/** Of another issuer of identities, where it is a file. */
export function checkBundleFile({ bundle_file: file }: Identity): Check[] {
  if (file === undefined) return []
  const found = keysOfFile(file)
  if (typeof found === 'number') return [keysIn(file, found)]
  const advice = 'Bring back the JWK Set of the other issuer: its identities are refused'
  return [fail('trust bundle', `${file} ${found}`, advice)]
}

/** @returns How many keys, or what is wrong. */
function keysOfFile(file: string): number | string {
  try {
    return readBundle(readFileSync(file, 'utf8')).keys.length
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === undefined ? 'is no JWK Set' : `cannot be read (${code})`
  }
}

/** @param reply Of `admin.run.trust_bundle`: the daemon alone reads addresses, by the rules of egress. */
export function checkBundleRead(
  { bundle_file: file, bundle_url: url }: Identity,
  reply: Row,
): Check[] {
  const { configured, readable, keys } = reply
  const from = url ?? file
  if (from === undefined || configured !== true) return []
  // What nobody can read was told already.
  if (readable !== true && file !== undefined && typeof keysOfFile(file) === 'string') return []
  if (readable !== true) {
    return [
      fail(
        'trust bundle',
        `the daemon cannot read ${from}`,
        url === undefined
          ? `Let the daemon's user read it`
          : 'It must answer with a JWK Set, at an address that egress.allow_cidrs lets through',
      ),
    ]
  }
  return url === undefined ? [] : [keysIn(url, Number(keys))]
}

function keysIn(from: string, keys: number): Check {
  if (keys > 0) return ok('trust bundle', `${from}: ${counted(keys, 'key')}`)
  return warn(
    'trust bundle',
    `${from} holds no key for identities: those of the other issuer are refused`,
    'Its keys need "use": "jwt-svid"',
  )
}

/** Tokens from elsewhere carry the time of another clock. */
export function checkTokenClock(
  { bundle_file, bundle_url, leeway_seconds: leeway }: Identity & { leeway_seconds: number },
  synchronised: boolean,
): Check[] {
  if (synchronised || (bundle_file ?? bundle_url) === undefined) return []
  return [
    warn(
      'token times',
      `identities from elsewhere are refused when the clocks differ by more than ${leeway} s, and this one is not seen to be synchronised`,
      'Run a time service, such as systemd-timesyncd or chrony',
    ),
  ]
}

/** For `vestry exec`. */
export function checkSandboxes({ bubblewrap, namespace }: SandboxProblems): Check {
  if (bubblewrap === undefined) return ok('sandbox', 'bubblewrap works, for "vestry exec"')
  if (namespace === undefined) {
    return warn(
      'sandbox',
      `"vestry exec" takes the network only, no system call and no file: bubblewrap: ${bubblewrap}`,
      'Install bubblewrap, and allow user namespaces or run as root',
    )
  }
  return warn(
    'sandbox',
    `"vestry exec" starts nothing here: bubblewrap: ${bubblewrap}; namespace: ${namespace}`,
    'Install bubblewrap, and allow user namespaces or run as root; agents can still run without it',
  )
}
