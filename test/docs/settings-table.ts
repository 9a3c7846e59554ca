/** The table of settings in docs/operations.md: keys, defaults and bounds from the schema, words from here. */
import * as z from 'zod'
import { Config } from '../../packages/server/src/app/config.ts'

/** Whoever adds a setting says here what it is for. */
const MEANING: Readonly<Record<string, string>> = {
  'http.host': 'address of the HTTP port',
  'http.port': 'its port; 0: any free one. `--port` wins',
  'store.url': '`sqlite:/absolute/path` or `postgres://…`. `--store` wins',
  'vault.socket': 'agents’ Unix socket',
  'vault.socket_mode': 'its mode, octal',
  'vault.sockets': 'more sockets `{path, agents}`, each for these agents only',
  'vault.listen_tcp': '`ADDRESS:PORT` for agents over TCP, e.g. `127.0.0.1:7600`',
  'vault.allow_plaintext_remote': 'yes, TCP beyond loopback without TLS is meant',
  'vault.keyfile': 'key file that unseals at start',
  'vault.raw_retrieval': '`false`: `retrieve` is refused for all, whatever policy says',
  'vault.compat_rust': 'answer the second dialect of the wire, too',
  'vault.max_request_bytes': 'largest frame of an authenticated agent',
  'vault.inflight_per_connection': 'requests in execution; beyond it, reading waits',
  'vault.connections': 'connections of all agents',
  'vault.connections_per_tcp_source': 'of one TCP address',
  'vault.connections_unauthenticated': 'not yet authenticated',
  'vault.idle_timeout': 'seconds; closes idle connections. 0: never',
  'vault.session_idle': 'seconds without a request that end a session',
  'vault.session_max': 'seconds that end it in any case',
  'vault.sessions_per_agent': 'sessions of one agent at once',
  'vault.default_ttl': 'seconds of a lease when nobody says',
  'vault.max_ttl': 'seconds; no lease is longer, no rule may say more',
  'vault.max_lifetime': 'seconds from issue; no renewal reaches further',
  'vault.leases_per_agent': 'live leases of one agent',
  'vault.leases_total': 'of all',
  'vault.revoke_on_disconnect': 'leases end 30 s after the agent’s last connection',
  'vault.revoke_on_policy_change': 'all leases end when policies change',
  'vault.lockout_mode': '`source` or `agent`, see [identity.md](identity.md#sessions)',
  'vault.http_requests_per_agent': '`http_request` of one agent at once',
  'vault.requests_in_flight': 'requests of all agents at once',
  'vault.docs_base_url': 'puts a link into `docs_url` of errors',
  'vault.auto_seal_idle': 'seconds without a request after which the vault seals. 0: never',
  'egress.allow_cidrs': 'private ranges that are opened, see [egress.md](egress.md#addresses)',
  'egress.ca_file': 'authorities trusted besides the system’s, PEM',
  'egress.timeout_ms': 'time of an `http_request` that names none',
  'identity.trust_domain': 'SPIFFE trust domain of new agents',
  'telemetry.pod_name': 'name of this node in the record',
  'audit.rotate_bytes': 'a segment ends at this size',
  'audit.rotate_hours': 'or after this time',
  'limits.agent_requests': 'rate of requests of one agent',
  'limits.authenticate': 'rate of logins of one source',
}

/** Defaults that are not in the schema, because they depend on other things. */
const COMPUTED: Readonly<Record<string, string>> = {
  'store.url': '`data/vestry.db` in the home',
  'vault.socket': '`run/vault.sock` in the home',
  'vault.listen_tcp': 'off',
  'telemetry.pod_name': 'host name',
  'limits.agent_requests': '100/s, burst 200',
  'limits.authenticate': '10/s, burst 20',
}

interface Property {
  default?: unknown
  minimum?: number
  maximum?: number
  properties?: Record<string, Property>
}

export interface Setting extends Pick<Property, 'minimum' | 'maximum'> {
  /** `section.key` */
  key: string
  /** undefined: the schema has none. */
  default: unknown
}

export function settings(): Setting[] {
  const schema = z.toJSONSchema(Config, { io: 'input' }) as Property
  return Object.entries(schema.properties ?? {}).flatMap(([section, { properties = {} }]) =>
    Object.entries(properties).map(([name, { default: standard, minimum, maximum }]) => ({
      key: `${section}.${name}`,
      default: standard,
      ...(minimum !== undefined && { minimum }),
      ...(maximum !== undefined && { maximum }),
    })),
  )
}

/** @throws when a setting has no words, or words have no setting. */
export function settingsTable(): string {
  const all = settings()
  const strangers = Object.keys(MEANING).filter((key) => !all.some((known) => known.key === key))
  if (strangers.length > 0) throw new Error(`no such setting: ${strangers.join(', ')}`)
  const rows = all.map((setting) => {
    const meaning = MEANING[setting.key]
    if (meaning === undefined) throw new Error(`${setting.key} is not described`)
    return `| \`${setting.key}\` | ${standard(setting)} | ${bounds(setting)} | ${meaning} |`
  })
  return ['| Setting | Default | Range | |', '|---|---|---|---|', ...rows].join('\n')
}

function standard({ key, default: value }: Setting): string {
  if (value === undefined) return COMPUTED[key] ?? '–'
  return typeof value === 'number' ? String(value) : `\`${JSON.stringify(value)}\``
}

/** The schema writes the largest safe integer where it has no bound. */
function bounds({ minimum, maximum = Number.MAX_SAFE_INTEGER }: Setting): string {
  if (minimum === undefined) return ''
  return maximum < Number.MAX_SAFE_INTEGER ? `${minimum}–${maximum}` : `≥ ${minimum}`
}
