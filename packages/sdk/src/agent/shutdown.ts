/** The signals that end a run: the first asks, the second insists. */

export interface Signals {
  on(name: 'SIGTERM' | 'SIGINT', listener: () => void): unknown
  off(name: 'SIGTERM' | 'SIGINT', listener: () => void): unknown
}

export interface ShutdownSignals {
  /** Resolves to the name of the first signal. */
  readonly first: Promise<string>
  /** Undefined before the first signal. */
  readonly received: string | undefined
  /** Gives the signals back to whoever had them. */
  release(): void
}

/** @param onSecond Called at every signal after the first. */
export function shutdownSignals(
  source: Signals,
  onFirst: (name: string) => void,
  onSecond: (name: string) => void,
): ShutdownSignals {
  let received: string | undefined
  let resolveFirst: (name: string) => void = () => {}
  const first = new Promise<string>((resolve) => {
    resolveFirst = resolve
  })
  const listener = (name: string) => (): void => {
    if (received !== undefined) {
      onSecond(name)
      return
    }
    received = name
    onFirst(name)
    resolveFirst(name)
  }
  const onTerm = listener('SIGTERM')
  const onInt = listener('SIGINT')
  source.on('SIGTERM', onTerm)
  source.on('SIGINT', onInt)
  return {
    first,
    get received() {
      return received
    },
    release() {
      source.off('SIGTERM', onTerm)
      source.off('SIGINT', onInt)
    },
  }
}
