/** The transaction token by which a client joins a run: given once, or by a function that is asked at each use. */

export type TxnToken = string | (() => string | Promise<string>)

/** A compact JWS. Anything else would be quoted by whoever refuses it, a header for one. */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/

export function isTxnToken(given: unknown): given is TxnToken {
  return typeof given === 'function' || textOf(given) !== undefined
}

/** @returns undefined when it gives no token. @throws whatever the function throws. */
export async function currentTxnToken(given: TxnToken): Promise<string | undefined> {
  return textOf(typeof given === 'function' ? await given() : given)
}

/** Without what surrounds it in a file. */
function textOf(given: unknown): string | undefined {
  const text = typeof given === 'string' ? given.trim() : ''
  return TOKEN.test(text) ? text : undefined
}
