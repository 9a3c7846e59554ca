/** Everything `send` needs, for tests: names resolve as the test says, and only holes lead to loopback. */

import { Secret } from '../../seal/secret.ts'
import { type AddressRules, parseCidr } from '../addresses.ts'
import { buildInjection, type InjectionSpec } from '../injection.ts'
import { EgressPool, type PoolOptions } from '../pool.ts'
import type { QueryInjectionSpec } from '../query-injection.ts'
import type { EgressDeps, EgressRequest, Grant } from '../send.ts'

export interface WorldOptions {
  /** Host name → answers; several lists are given one after the other, the last one for good. */
  names?: Record<string, string[] | string[][]>
  /** Blocks to open; loopback's first address by default. */
  holes?: string[]
  rules?: Partial<AddressRules>
  pool?: PoolOptions
}

export interface World extends AsyncDisposable {
  deps: EgressDeps
  /** Names asked for, in order. */
  asked: string[]
}

export const GRANT: Grant = { exactHost: true, allowHttp: true, followRedirects: true }

export function createWorld(options: WorldOptions = {}): World {
  const asked: string[] = []
  const pool = new EgressPool(options.pool)
  const resolver = async (host: string): Promise<string[]> => {
    asked.push(host)
    const answers = options.names?.[host] ?? ['127.0.0.1']
    const turn = asked.filter((name) => name === host).length - 1
    return answers.flatMap((answer, at) => {
      if (typeof answer === 'string') return [answer]
      return at === Math.min(turn, answers.length - 1) ? answer : []
    })
  }
  return {
    asked,
    deps: {
      pool,
      resolver,
      rules: {
        holes: (options.holes ?? ['127.0.0.1/32']).map(parseCidr),
        ownListeners: () => [],
        localAddresses: () => [],
        ...options.rules,
      },
      userAgent: 'sanctum-vault/0.0.0',
      now: Date.now,
    },
    [Symbol.asyncDispose]: () => pool.close(),
  }
}

/** A GET with everything permitted; `secret` is injected as `spec` says. */
export function requestFor(
  url: string,
  {
    secret,
    spec = {},
    ...rest
  }: Partial<EgressRequest> & { secret?: string; spec?: InjectionSpec | QueryInjectionSpec } = {},
): EgressRequest {
  return {
    url,
    method: 'GET',
    headers: [],
    timeoutMs: 5_000,
    maxResponseBytes: 1_048_576,
    followRedirects: true,
    poolKey: { path: 'test/credential', version: 1 },
    authorize: () => GRANT,
    ...(secret === undefined
      ? {}
      : { injection: buildInjection(spec, Secret.copy(Buffer.from(secret))) }),
    ...rest,
  }
}
