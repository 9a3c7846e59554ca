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

/** Marks the listeners of every copy of this library: two that waited for each other would end nothing. */
const OURS = Symbol.for('@vestry/coat/signal')

const leaving = new Set<Leaving>()
let isListening = false
let isListeningForSignals = false

/** @returns Forgets it again. */
export function beforeLeaving(one: Leaving, { signals }: { signals: boolean }): () => void {
  leaving.add(one)
  if (!isListening) {
    isListening = true
    // Ours must not be the one too many, of which the runtime warns.
    const most = process.getMaxListeners()
    if (most > 0) process.setMaxListeners(most + 1)
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
      if (process.listeners(signal).some((other) => !(OURS in other))) {
        each((one) => one.alarm())
        return
      }
      each((one) => one.exit())
      process.removeListener(signal, listener)
      process.kill(process.pid, signal)
    }
    process.on(signal, Object.assign(listener, { [OURS]: true }))
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
