/** What comes back from the gateway: a whole answer, or one that is still arriving. */
import { GatewayError } from '../errors.ts'
import { foreignText } from '../redact.ts'

/** Names are in lower case; repeated headers are joined by commas. */
export type ResponseHeaders = Readonly<Record<string, string>>

export interface GatewayResponse {
  readonly status: number
  readonly headers: ResponseHeaders
  readonly body: Uint8Array
  /** The body as UTF-8. */
  text(): string
  /** @throws GatewayError when the body is not JSON. */
  json(): unknown
}

export interface GatewayStream {
  readonly status: number
  readonly headers: ResponseHeaders
  /**
   * The body as it arrives; once. Leaving the loop closes the connection.
   *
   * @throws GatewayError when the connection is lost or falls silent before the body is complete.
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array>
  close(): void
}

export function gatewayResponse(
  status: number,
  headers: ResponseHeaders,
  body: Uint8Array,
): GatewayResponse {
  const text = (): string => new TextDecoder().decode(body)
  return {
    status,
    headers,
    body,
    text,
    json() {
      try {
        return JSON.parse(text())
      } catch {
        // The parser's own message would repeat the body unredacted.
        throw new GatewayError(`Gateway returned invalid JSON: ${foreignText(text())}`, { status })
      }
    },
  }
}
