/** The last moments of a process: who still has something to send is asked then, once for all of them. */

export interface Leaving {
  /** The event loop has run dry; it may be held for a moment. */
  beforeExit(): void
  /** Nothing asynchronous will run any more. */
  exit(): void
  /** An exception was not caught, or somebody handles a signal: the process may or may not go on. */
  alarm(): void
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

const leaving = new Set<Leaving>()
let isListening = false
let isListeningForSignals = false

/** @returns Forgets it again. */
export function beforeLeaving(one: Leaving, { signals }: { signals: boolean }): () => void {
  leaving.add(one)
  if (!isListening) {
    isListening = true
    process.on('beforeExit', () => each((other) => other.beforeExit()))
    process.on('exit', () => each((other) => other.exit()))
    process.on('uncaughtExceptionMonitor', () => each((other) => other.alarm()))
  }
  if (signals && !isListeningForSignals) listenForSignals()
  return () => void leaving.delete(one)
}

/** Only on request: who listens to a signal has to end the process himself. */
function listenForSignals(): void {
  isListeningForSignals = true
  for (const signal of SIGNALS) {
    const listener = () => {
      // Whoever else listens decides what the signal means; otherwise it means what it always does.
      if (process.listenerCount(signal) > 1) {
        each((one) => one.alarm())
        return
      }
      each((one) => one.exit())
      process.removeListener(signal, listener)
      process.kill(process.pid, signal)
    }
    process.on(signal, listener)
  }
}

function each(visit: (one: Leaving) => void): void {
  for (const one of leaving) {
    try {
      visit(one)
    } catch {
      // The agent's end is its own.
    }
  }
}
