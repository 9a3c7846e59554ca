/**
 * Who may ask for tokens and how often. Unsigned requests need no more than an agent's id, so the number of tries
 * is what stands between a guess and a token (wire contract §5.4, §7.5).
 */
import { BlockList } from 'node:net'
import { VestryError } from '@vestry/contract/errors'
import { parseAddress, parseCidr } from '../../egress/addresses.ts'
import type { BucketLimit } from '../../limits/bucket.ts'
import type { Limits } from '../../limits/limits.ts'

export interface MintLimitSettings {
  /** Token requests, per agent and per address each; undefined: not limited. */
  readonly mintsPerMinute: number | undefined
  /** Rejected tokens per address. */
  readonly rejectionsPerMinute: number
  /** Blocks that tokens are issued to; empty: everywhere. */
  readonly issueCidrs: readonly string[]
}

export const DEFAULT_MINTS_PER_MINUTE = 30
export const DEFAULT_REJECTIONS_PER_MINUTE = 60

export class MintLimits {
  readonly #limits: Pick<Limits, 'take'>
  readonly #settings: MintLimitSettings
  readonly #allowed: BlockList | undefined

  /** @throws VestryError `CONFIG_INVALID` for a malformed block. */
  constructor(deps: { limits: Pick<Limits, 'take'>; settings: MintLimitSettings }) {
    this.#limits = deps.limits
    this.#settings = deps.settings
    this.#allowed = blocks(deps.settings.issueCidrs)
  }

  /**
   * A token request arrived, before it is read.
   *
   * @param address Of the peer, without a port; undefined where it has none.
   * @throws VestryError `ACCESS_DENIED` or `RATE_LIMITED`.
   */
  admitPeer(address: string | undefined): void {
    if (this.#allowed !== undefined && !covers(this.#allowed, address)) {
      throw new VestryError('ACCESS_DENIED', 'Tokens are not issued to this address')
    }
    this.#take('mint:peer', address ?? '', 'token requests of an address')
  }

  /** The agent is known and proven as far as it must be. @throws VestryError `RATE_LIMITED` */
  admitAgent(agentId: string): void {
    this.#take('mint:agent', agentId, 'token requests of an agent')
  }

  /**
   * A token was refused. Only refusals are counted and only they turn into 429, so that a neighbour at the same
   * address who guesses cannot keep those with good tokens out.
   *
   * @throws VestryError `RATE_LIMITED` once there were too many.
   */
  countRejection(address: string | undefined): void {
    const { rejectionsPerMinute } = this.#settings
    const scope = 'rejected tokens of an address'
    this.#limits.take(perMinute(rejectionsPerMinute, 'token:rejected', address ?? '', scope))
  }

  #take(kind: string, who: string, scope: string): void {
    const { mintsPerMinute } = this.#settings
    if (mintsPerMinute === undefined) return
    this.#limits.take(perMinute(mintsPerMinute, kind, who, scope))
  }
}

function perMinute(count: number, kind: string, who: string, scope: string): BucketLimit {
  return { kind: 'bucket', key: `${kind}:${who}`, scope, perSecond: count / 60, burst: count }
}

function blocks(cidrs: readonly string[]): BlockList | undefined {
  if (cidrs.length === 0) return undefined
  const list = new BlockList()
  for (const text of cidrs) {
    const { bytes, bits } = parseCidr(text)
    const [address = ''] = text.split('/', 1)
    list.addSubnet(address, bits, bytes.length === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

/** The platform reads an IPv4-mapped IPv6 address as the IPv4 one. */
function covers(list: BlockList, address: string | undefined): boolean {
  const bytes = address === undefined ? undefined : parseAddress(address)
  if (address === undefined || bytes === undefined) return false
  return list.check(address, bytes.length === 4 ? 'ipv4' : 'ipv6')
}
