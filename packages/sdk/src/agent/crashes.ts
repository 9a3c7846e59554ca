/** What nobody caught, anywhere in the process: while an agent runs, it is the agent's. */

/** `happened` rejects with the first such error; the process goes on. */
export function crashes(): { happened: Promise<never>; release(): void } {
  let reject: (error: unknown) => void = () => {}
  const happened = new Promise<never>((_, rejectWith) => {
    reject = rejectWith
  })
  happened.catch(() => {})
  const listener = (error: unknown): void => reject(error)
  process.on('uncaughtException', listener)
  process.on('unhandledRejection', listener)
  return {
    happened,
    release() {
      process.off('uncaughtException', listener)
      process.off('unhandledRejection', listener)
    },
  }
}
