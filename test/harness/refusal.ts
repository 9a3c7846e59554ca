/** What a call came to, for tests that compare many. */
import { RpcFailure } from './raw-client.ts'

/** `ok`, or the code of the error that was answered. */
export async function codeOf(calling: Promise<unknown>): Promise<string> {
  try {
    await calling
    return 'ok'
  } catch (error) {
    if (error instanceof RpcFailure) return error.code
    throw error
  }
}
