/** The symbol behind `await using`, on runtimes that have it and on early Node 20, which does not. */

const host: { readonly asyncDispose?: symbol } = Symbol

/** Typed as the platform's symbol; where that is missing, `await using` cannot be used anyway. */
export const asyncDispose: typeof Symbol.asyncDispose = symbolOf(host)

export function symbolOf(source: { readonly asyncDispose?: symbol }): typeof Symbol.asyncDispose {
  const symbol = source.asyncDispose ?? Symbol.for('Symbol.asyncDispose')
  return symbol as typeof Symbol.asyncDispose // same role; only its identity may differ
}
