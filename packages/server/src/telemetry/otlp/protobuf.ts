/** Writes OTLP messages as protobuf, and reads the little that a receiver answers. */
import {
  FIELDS,
  isPresent,
  type Message,
  type MessageName,
  type NamedField,
  type Scalar,
} from './schema.ts'

const VARINT = 0
const BITS_64 = 1
const BYTES = 2
const BITS_32 = 5

/** Members hold what the table promises: see {@link encodeProtobuf}. */
const SCALARS: Readonly<
  Record<Scalar, { wireType: number; write: (writer: Writer, value: never) => void }>
> = {
  string: { wireType: BYTES, write: (writer, value: string) => writer.text(value) },
  bool: { wireType: VARINT, write: (writer, value: boolean) => writer.varint(value ? 1 : 0) },
  int64: { wireType: VARINT, write: (writer, value: number) => writer.int64(value) },
  double: { wireType: BITS_64, write: (writer, value: number) => writer.double(value) },
  uint32: { wireType: VARINT, write: (writer, value: number) => writer.varint(value) },
  enum: { wireType: VARINT, write: (writer, value: number) => writer.varint(value) },
  fixed32: { wireType: BITS_32, write: (writer, value: number) => writer.fixed32(value) },
  nanos: { wireType: BITS_64, write: (writer, value: bigint) => writer.fixed64(value) },
  id: { wireType: BYTES, write: (writer, value: string) => writer.hex(value) },
}

/**
 * @param message Members as MESSAGES in schema.ts names them: `nanos` as bigint, `id` as hex. A message in it may be
 *   there as the bytes that this function made of it.
 */
export function encodeProtobuf(name: MessageName, message: Message): Uint8Array {
  const writer = new Writer()
  writeMessage(writer, name, message)
  return writer.finish()
}

function writeMessage(writer: Writer, name: MessageName, message: Message): void {
  for (const field of FIELDS[name]) {
    const value = message[field.member]
    if (value === undefined) continue
    if (field.repeated) {
      // Our own messages: what the table calls repeated is a list.
      for (const item of value as readonly unknown[]) writeField(writer, field, item)
    } else if (isPresent(name, value)) writeField(writer, field, value)
  }
}

function writeField(writer: Writer, { number, message, scalar }: NamedField, value: unknown): void {
  if (message !== undefined) {
    writer.tag(number, BYTES)
    if (value instanceof Uint8Array) {
      writer.bytes(value)
      return
    }
    const start = writer.openLength()
    writeMessage(writer, message, value as Message)
    writer.closeLength(start)
    return
  }
  const { wireType, write } = SCALARS[scalar]
  writer.tag(number, wireType)
  write(writer, value as never)
}

/** Room for a length that is not known yet; four bytes hold any message that fits into memory here. */
const LENGTH_BYTES = 4

class Writer {
  #buffer = Buffer.allocUnsafe(16_384)
  #at = 0

  tag(number: number, wireType: number): void {
    this.varint(number * 8 + wireType)
  }

  varint(value: number): void {
    this.#need(10)
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#at++] = rest
  }

  int64(value: number): void {
    if (value >= 0) {
      this.varint(value)
      return
    }
    this.#need(10)
    let rest = BigInt.asUintN(64, BigInt(value))
    while (rest > 0x7fn) {
      this.#buffer[this.#at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buffer[this.#at++] = Number(rest)
  }

  double(value: number): void {
    this.#need(8)
    this.#at = this.#buffer.writeDoubleLE(value, this.#at)
  }

  fixed32(value: number): void {
    this.#need(4)
    this.#at = this.#buffer.writeUInt32LE(value, this.#at)
  }

  fixed64(value: bigint): void {
    this.#need(8)
    this.#at = this.#buffer.writeBigUInt64LE(value, this.#at)
  }

  text(value: string): void {
    const length = Buffer.byteLength(value)
    this.varint(length)
    this.#need(length)
    this.#at += this.#buffer.write(value, this.#at, 'utf8')
  }

  hex(value: string): void {
    const length = value.length / 2
    this.varint(length)
    this.#need(length)
    this.#at += this.#buffer.write(value, this.#at, 'hex')
  }

  bytes(value: Uint8Array): void {
    this.varint(value.length)
    this.#need(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  openLength(): number {
    this.#need(LENGTH_BYTES)
    this.#at += LENGTH_BYTES
    return this.#at
  }

  closeLength(start: number): void {
    const length = this.#at - start
    const bytes = length < 0x80 ? 1 : length < 0x40_00 ? 2 : length < 0x20_00_00 ? 3 : LENGTH_BYTES
    const spare = LENGTH_BYTES - bytes
    // Shortest form: not every reader takes a padded length.
    if (spare > 0) this.#buffer.copyWithin(start - spare, start, this.#at)
    this.#at = start - LENGTH_BYTES
    this.varint(length)
    this.#at += length
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#at)
  }

  #need(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const bigger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes))
    this.#buffer.copy(bigger, 0, 0, this.#at)
    this.#buffer = bigger
  }
}

/** What a receiver says of records it took the request of, but not them. */
export interface PartialSuccess {
  /** Log records or spans. */
  readonly rejected: number
  readonly message: string
}

/** `Export…ServiceResponse`, the same shape for both signals. @returns undefined for anything else. */
export function decodePartialSuccess(bytes: Uint8Array): PartialSuccess | undefined {
  try {
    const inner = fieldsOf(bytes).get(1)
    if (!(inner instanceof Uint8Array)) return undefined
    const fields = fieldsOf(inner)
    const rejected = fields.get(1)
    const message = fields.get(2)
    return {
      rejected: typeof rejected === 'bigint' ? Number(BigInt.asIntN(64, rejected)) : 0,
      message: message instanceof Uint8Array ? Buffer.from(message).toString('utf8') : '',
    }
  } catch {
    return undefined
  }
}

/** Varints and length-delimited fields by number, the last of each. @throws RangeError where it is cut short. */
function fieldsOf(bytes: Uint8Array): Map<number, bigint | Uint8Array> {
  const fields = new Map<number, bigint | Uint8Array>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at]
      if (byte === undefined) throw new RangeError('cut short')
      at += 1
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new RangeError('varint too long')
  }
  while (at < bytes.length) {
    const key = Number(varint())
    const number = Math.floor(key / 8)
    const wireType = key % 8
    if (wireType === VARINT) fields.set(number, varint())
    else {
      const length = wireType === BITS_64 ? 8 : wireType === BITS_32 ? 4 : Number(varint())
      if (wireType !== BITS_64 && wireType !== BITS_32 && wireType !== BYTES)
        throw new RangeError('unknown wire type')
      if (at + length > bytes.length) throw new RangeError('cut short')
      fields.set(number, bytes.subarray(at, at + length))
      at += length
    }
  }
  return fields
}
