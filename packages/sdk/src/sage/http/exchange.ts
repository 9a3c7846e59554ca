/** One attempt: a request out, a response in. Says of every failure whether another attempt may help. */
import { GatewayError, GatewayUnavailableError } from '../errors.ts'
import { type Address, addressText } from './address.ts'
import { ConnectFailed, type Connection, connect, SilenceTooLong } from './connection.ts'
import { MalformedResponse, type ResponseHead, ResponseReader } from './response-reader.ts'

export interface ExchangeOptions {
  method: string
  timeoutMs: number
  signal: AbortSignal
  maxHeadBytes: number
  maxBodyBytes: number
}

/** An attempt that came to nothing. */
export class AttemptFailed extends Error {
  readonly error: GatewayError
  /** Whether the transport may try again. */
  readonly isRepeatable: boolean

  constructor(error: GatewayError, isRepeatable: boolean) {
    super(error.message, { cause: error })
    this.error = error
    this.isRepeatable = isRepeatable
  }
}

export interface Exchange {
  readonly head: ResponseHead
  /** Only the end of the connection will tell that the body is whole. */
  readonly endsWithConnection: boolean
  /**
   * The body in parts, of at most `maxBodyBytes` in all.
   *
   * @throws AttemptFailed when it does not arrive whole; the signal's own reason.
   */
  parts(): AsyncGenerator<Uint8Array, void, undefined>
  close(): void
}

/** @throws AttemptFailed; the signal's own reason. */
export async function exchange(
  address: Address,
  bytes: Uint8Array,
  options: ExchangeOptions,
): Promise<Exchange> {
  const connection = await connect(address, bytes, options).catch((error) => {
    throw options.signal.aborted ? options.signal.reason : failure(address, error)
  })
  try {
    const reader = new ResponseReader(options, options.method)
    const first: Uint8Array[] = []
    while (reader.head === undefined) {
      const part = await connection.read()
      if (part === undefined) throw new MalformedResponse('it ended before it was complete')
      first.push(...reader.push(part))
    }
    checkLength(reader, options.maxBodyBytes)
    return {
      head: reader.head,
      endsWithConnection: reader.endsWithConnection,
      parts: () => bodyParts(address, connection, reader, first, options),
      close: () => connection.close(),
    }
  } catch (error) {
    connection.close()
    throw options.signal.aborted ? options.signal.reason : failure(address, error)
  }
}

async function* bodyParts(
  address: Address,
  connection: Connection,
  reader: ResponseReader,
  first: readonly Uint8Array[],
  { signal, maxBodyBytes }: ExchangeOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let total = 0
  const counted = (part: Uint8Array): Uint8Array => {
    total += part.byteLength
    if (total > maxBodyBytes) throw tooLarge(maxBodyBytes)
    return part
  }
  try {
    for (const part of first) yield counted(part)
    while (!reader.complete) {
      const bytes = await connection.read()
      if (bytes === undefined) {
        if (!reader.end()) throw new MalformedResponse('it ended before it was complete')
        return
      }
      for (const part of reader.push(bytes)) yield counted(part)
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : failure(address, error)
  } finally {
    connection.close()
  }
}

function checkLength(reader: ResponseReader, maxBodyBytes: number): void {
  if ((reader.contentLength ?? 0) > maxBodyBytes) throw tooLarge(maxBodyBytes)
}

function tooLarge(maxBodyBytes: number): AttemptFailed {
  const error = new GatewayError(`The response is larger than ${maxBodyBytes} bytes`)
  return new AttemptFailed(error, false)
}

function failure(address: Address, error: unknown): AttemptFailed {
  if (error instanceof AttemptFailed) return error
  const where = addressText(address)
  const text = error instanceof Error ? error.message : String(error)
  const options = { cause: error }
  if (error instanceof ConnectFailed) {
    const unavailable = new GatewayUnavailableError(`Cannot connect to ${where}: ${text}`, options)
    return new AttemptFailed(unavailable, true)
  }
  const isRepeatable = error instanceof SilenceTooLong || error instanceof MalformedResponse
  const detail =
    error instanceof MalformedResponse
      ? `The response of ${where} is malformed: ${text}`
      : error instanceof SilenceTooLong
        ? `${where} did not answer in time: ${text}`
        : `The connection to ${where} was lost: ${text}`
  const broken = new GatewayError(detail, { ...options, retryable: isRepeatable })
  return new AttemptFailed(broken, isRepeatable)
}
