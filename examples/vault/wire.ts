/** Below the client: one connection, single calls, raw frames, key files. `node examples/vault/wire.ts` */
import {
  decodeFrame,
  encodeFrame,
  encryptKey,
  FrameReader,
  loadKey,
  RpcConnection,
  raiseOnError,
} from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

/** Any method by its wire name, on a connection of one's own. */
export async function singleCalls({ agent, socketPath, keyPath }: ExampleTarget) {
  const connection = await RpcConnection.open(socketPath, { timeoutMs: 2_000 })
  try {
    const status = await connection.call('status')
    const signer = await loadKey(agent, { keyPath, strictKeyPermissions: true })
    const session = await connection.authenticate(agent, signer)
    const me = await connection.call('whoami', {}, { timeoutMs: 5_000 })
    return { sealed: status['sealed'], session: session.expires_in, me: me['agent'] }
  } finally {
    await connection.close()
  }
}

/** Follows a method that answers with many frames, as `admin.audit.tail` does on the admin socket. */
export async function follow(
  connection: RpcConnection,
  print: (record: unknown) => void,
  signal: AbortSignal,
) {
  await connection.call(
    'admin.audit.tail',
    { follow: true },
    { onMore: print, signal, timeoutMs: Number.POSITIVE_INFINITY },
  )
}

/** Frames without a socket. */
export function frames(): unknown[] {
  const bytes = encodeFrame({ id: 1, method: 'ping', params: {} })
  const [message, rest] = decodeFrame(bytes)
  raiseOnError(message)

  const reader = new FrameReader()
  reader.push(bytes.subarray(0, 7))
  reader.push(bytes.subarray(7))
  const seen: unknown[] = [message, rest.length]
  for (let body = reader.next(); body; body = reader.next()) seen.push(JSON.parse(body.toString()))
  return seen
}

/** The text of a `.key.enc` file. */
export async function sealKey(seed: Uint8Array, passphrase: string): Promise<string> {
  return encryptKey(seed, passphrase)
}

if (import.meta.main) {
  console.log(await singleCalls(targetOf(process.env)))
  console.log(frames())
}
