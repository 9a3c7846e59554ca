/**
 * Who sits at the other end of a Unix socket, as the kernel says (SO_PEERCRED). Where the kernel cannot
 * be asked, the peer is unknown and says why; nothing is guessed.
 */
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import { constants } from 'node:os'
import type { Peer } from './caller.ts'

const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SO_PEERPIDFD = 77
/** struct ucred: pid, uid, gid, 32 bits each. */
const UCRED_BYTES = 12
/** The kernel is older than the option, or a filter of system calls forbids it. */
const NOT_OFFERED: ReadonlySet<number> = new Set([
  constants.errno.ENOPROTOOPT,
  constants.errno.ENOSYS,
  constants.errno.EPERM,
])
/** What the kernel answers for a socket without credentials, a TCP one for instance. */
const NO_UID = 0xffff_ffff
/** The constants above differ on the remaining Linux ports (powerpc, mips, sparc). */
const ARCHITECTURES = new Set<string>(['x64', 'arm64', 'arm', 'ia32', 'riscv64'])

type GetSockOpt = (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: number[],
) => number

interface Native {
  readonly call: GetSockOpt
  /** Of the last call. */
  readonly errno: () => number
}

/** Loaded at the first Unix peer, or the reason it cannot be. */
let native: Native | { missing: string } | undefined

/** Reads the credentials a Unix peer connected with. Call it while the socket is open. */
export function unixPeer(socket: Socket): Peer {
  native ??= loadNative()
  if ('missing' in native) return unknownPeer(native.missing)
  const fd = descriptor(socket)
  if (fd === undefined) return unknownPeer('socket is closed')
  const value = Buffer.alloc(UCRED_BYTES)
  const length = [UCRED_BYTES]
  if (native.call(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0 || length[0] !== UCRED_BYTES)
    return unknownPeer('the kernel did not tell')
  const pid = value.readInt32LE(0)
  const uid = value.readUInt32LE(4)
  if (uid === NO_UID) return unknownPeer('the socket carries no credentials')
  return {
    transport: 'unix',
    // 0 stands for a process outside our pid namespace.
    ...(pid > 0 && { pid }),
    uid,
    gid: value.readUInt32LE(8),
  }
}

/**
 * A descriptor that stands for the peer's very process, whoever gets its number later. The caller closes it.
 * @returns undefined where the kernel gives none to anybody, `failed` where it gives none for this peer: kernels of
 *   some years refuse one for a process that is over.
 */
export function peerPidfd(socket: Socket): number | 'failed' | undefined {
  native ??= loadNative()
  const fd = descriptor(socket)
  if ('missing' in native) return undefined
  if (fd === undefined) return 'failed'
  const value = Buffer.alloc(4)
  const length = [value.length]
  if (native.call(fd, SOL_SOCKET, SO_PEERPIDFD, value, length) !== 0)
    return NOT_OFFERED.has(native.errno()) ? undefined : 'failed'
  const pidfd = value.readInt32LE(0)
  return pidfd >= 0 ? pidfd : 'failed'
}

/** Why no peer of any socket can be known on this machine; undefined where the kernel can be asked. */
export function peersUnavailable(): string | undefined {
  native ??= loadNative()
  return 'missing' in native ? native.missing : undefined
}

export function tcpPeer(socket: Socket, transport: 'tcp' | 'http' = 'tcp'): Peer {
  const address = socket.remoteAddress
  return address === undefined
    ? { transport, unknown: 'socket is closed' }
    : { transport, address: plainAddress(address) }
}

/**
 * What limits and lockouts count by: the TCP address, the peer's uid, or for an unknown Unix peer the
 * socket it came in on.
 *
 * @param listener Name of the listening socket, e.g. its path.
 */
export function sourceKey(peer: Peer, listener: string): string {
  if (peer.address !== undefined) return `ip:${peer.address}`
  if (peer.uid !== undefined) return `uid:${peer.uid}`
  return `socket:${listener}`
}

/** One spelling per host: a dual-stack listener reports IPv4 peers as ::ffff:a.b.c.d. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
}

function unknownPeer(reason: string): Peer {
  return { transport: 'unix', unknown: reason }
}

function descriptor(socket: Socket): number | undefined {
  // Node has no public door to the descriptor; `_handle.fd` is checked rather than trusted.
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null) return undefined
  const fd: unknown = Reflect.get(handle, 'fd')
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}

function loadNative(): Native | { missing: string } {
  if (process.platform !== 'linux') return { missing: `not supported on ${process.platform}` }
  if (!ARCHITECTURES.has(process.arch)) return { missing: `not supported on ${process.arch}` }
  try {
    const koffi: typeof import('koffi') = createRequire(import.meta.url)('koffi')
    const call: GetSockOpt = koffi
      .load(null)
      .func(
        'int getsockopt(int fd, int level, int name, _Out_ uint8_t *val, _Inout_ uint32_t *len)',
      )
    return { call, errno: () => koffi.errno() }
  } catch (error) {
    return {
      missing: `native call not available: ${error instanceof Error ? error.message : error}`,
    }
  }
}
