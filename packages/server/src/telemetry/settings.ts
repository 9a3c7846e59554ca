/** The `telemetry` section of `vestry.yaml`. */
import { CAPTURE_MODES } from '@vestry/coat/aot'
import * as z from 'zod'

const Endpoint = z.url({ protocol: /^https?$/ })

const Protocol = z.enum(['http/protobuf', 'http/json'])
/** Name → `vault:PATH`, or a value that is no secret. */
const Headers = z.record(z.string().regex(/^[A-Za-z0-9-]{1,64}$/), z.string().max(1024))
const TimeoutMs = z.int().min(100).max(120_000)

/** Of one signal, instead of what holds for both. */
const SignalSettings = z.strictObject({
  /** Whole URL; nothing is appended. */
  endpoint: Endpoint.optional(),
  protocol: Protocol.optional(),
  headers: Headers.optional(),
  timeout_ms: TimeoutMs.optional(),
})

export const OtelSettings = z.strictObject({
  /** Base URL; `/v1/logs` and `/v1/traces` are appended. */
  endpoint: Endpoint.optional(),
  protocol: Protocol.default('http/protobuf'),
  signals: z
    .array(z.enum(['logs', 'spans']))
    .min(1)
    .max(2)
    .default(['logs', 'spans']),
  headers: Headers.default({}),
  /** Default: the pod's name. */
  service_name: z.string().min(1).max(128).optional(),
  /** May captured values leave the host? */
  content: z.union([z.literal(false), z.enum(['redacted', 'raw'])]).default(false),
  /** Also emit `gen_ai.*` attributes. */
  gen_ai: z.boolean().default(true),
  /** Of one request with all its repetitions. */
  timeout_ms: TimeoutMs.default(10_000),
  logs: SignalSettings.optional(),
  traces: SignalSettings.optional(),
})
export type OtelSettings = z.output<typeof OtelSettings>

export const TelemetrySettings = z.strictObject({
  pod_name: z.string().min(1).max(128).optional(),
  /** Without it there is no queue socket and no identity socket. */
  enabled: z.boolean().default(true),
  /** Unix sockets; default `run/queue.sock` and `run/identity.sock` in the home. */
  queue_socket: z.string().min(1).optional(),
  identity_socket: z.string().min(1).optional(),
  socket_mode: z
    .string()
    .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0600"')
    .default('0600'),
  /** Also listens in `/run/envpod`, where older producers look, when that may be written to. */
  pod_sockets: z.boolean().default(true),
  /** Envelopes that tell more are cut down to this mode. */
  max_capture: z.enum(CAPTURE_MODES).default('raw'),
  connections: z.int().min(1).max(100_000).default(1024),
  /** Envelopes per second of one connection, and how many at once; beyond it the peer is read more slowly. */
  lines_per_second: z.int().min(1).max(1_000_000).default(20_000),
  lines_burst: z.int().min(1).max(1_000_000).default(40_000),
  /** Requests of the action queue, all callers together. */
  actions_per_minute: z.int().min(1).max(100_000).default(120),
  submits_per_minute: z.int().min(1).max(100_000).default(20),
  /** Claims of identities, per uid. */
  claims_per_minute: z.int().min(1).max(10_000).default(10),
  otel: OtelSettings.optional(),
})
export type TelemetrySettings = z.output<typeof TelemetrySettings>
