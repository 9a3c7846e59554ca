/**
 * The process that connected, pinned down before it is listened to: its number together with the moment it
 * started, so that a later owner of the number is not taken for it.
 */
import { closeSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { peerPidfd, unixPeer } from '../peer.ts'
import { type ProcessTable, processTable } from './process-table.ts'
import type { ProcessPeer, UnknownPeer } from './resolution.ts'

/**
 * Call it when the connection is accepted.
 * @returns With an empty start time, one that had ended by then: nothing can be claimed as it.
 */
export function readProcessPeer(
  socket: Socket,
  processes: ProcessTable = processTable,
): ProcessPeer | UnknownPeer {
  const { pid, uid, gid, unknown } = unixPeer(socket)
  if (uid === undefined || gid === undefined) return { unavailable: unknown ?? 'no credentials' }
  if (pid === undefined) return { unavailable: 'the process is outside of our process namespace' }
  const facts = processes.read(pid)
  const owner = processes.owner(pid)
  const peer = { pid, uid, gid, sessionId: facts?.sessionId ?? pid }
  const inner = owner !== undefined && owner.nsPid !== pid ? { nsPid: owner.nsPid } : {}
  // Asked last: if the one that connected is still there, what was read in between was about it.
  const here = facts !== undefined && !isGone(socket)
  return here
    ? { ...peer, ...inner, startTime: facts.startTime }
    : { ...peer, sessionId: pid, startTime: '' }
}

export function isUnknown(peer: ProcessPeer | UnknownPeer): peer is UnknownPeer {
  return 'unavailable' in peer
}

/** Whether the peer has ended, as far as the kernel can be asked about the process and not about its number. */
function isGone(socket: Socket): boolean {
  const pidfd = peerPidfd(socket)
  if (pidfd === undefined) return false
  // Whatever the reason: what cannot be made sure of is not taken for sure.
  if (pidfd === 'failed') return true
  try {
    const pid = /^Pid:\s*(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, 'latin1'))?.[1]
    return pid === '-1'
  } catch {
    return true
  } finally {
    closeSync(pidfd)
  }
}
