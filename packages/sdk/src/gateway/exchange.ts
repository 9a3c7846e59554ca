/** One operation on the wire: its attempts, each with a time-out of its own, and what is logged of them. */
import { VERSION } from '@vestry/contract/version'
import { traceHeader } from '../trace.ts'
import { currentTxnToken, type TxnToken } from '../vault/txn-token.ts'
import { after, within } from '../vault/wait.ts'
import { jsonObject } from './answers.ts'
import { extractCorrelationId } from './correlation.ts'
import { GatewayError, GatewayNetworkError, invalid } from './errors.ts'
import type { GatewayLogEntry, GatewayLogger, GatewayOperation } from './log.ts'
import { mayRepeat } from './repeatable.ts'
import { createErrorFromResponse } from './response-error.ts'
import { type RetryOptions, withRetry } from './retry.ts'
import { leftMs, type Scope, scoped } from './scope.ts'
import type { Transport, WireAnswer, WireRequest } from './transport.ts'

/** A request without its headers, which are the client's. */
export type Draft = Omit<WireRequest, 'headers'>

export interface Operation {
  readonly name: GatewayOperation
  /** The same on every attempt: the gateway tells a repetition by it. */
  readonly correlationId: string
  readonly repeatable: boolean
  readonly draft: Draft
  /** Made anew for each attempt. */
  readonly proof?: () => Record<string, string>
  /** For the log. */
  readonly about?: Pick<GatewayLogEntry, 'tool' | 'action' | 'params'>
}

export interface ExchangeDeps {
  transport: Transport
  /** Per attempt. */
  timeoutMs: number
  retry: Pick<RetryOptions, 'maxRetries' | 'baseDelayMs' | 'maxDelayMs'>
  log: GatewayLogger
  /** Of the run that every request is sent in; undefined: in none. */
  txnToken: TxnToken | undefined
}

export type Exchange = ReturnType<typeof createExchange>

export function createExchange({ transport, timeoutMs, retry, log, txnToken }: ExchangeDeps) {
  /** @returns An answer of status 2xx. @throws GatewayError, or the reason of the scope's signal. */
  return function exchange(operation: Operation, scope: Scope): Promise<WireAnswer> {
    const { name, correlationId, repeatable, about } = operation
    const note = (entry: Omit<GatewayLogEntry, 'operation' | 'correlationId'>): void =>
      log({ ...entry, operation: name, correlationId, ...about })

    return withRetry(
      async (attempt) => {
        const startedMs = performance.now()
        const took = () => Math.round(performance.now() - startedMs)
        note({ event: 'request', attempt })
        try {
          const answer = await once(operation, scope)
          if (answer.status < 200 || answer.status > 299) throw refusal(answer, correlationId)
          note({ event: 'answer', attempt, statusCode: answer.status, durationMs: took() })
          return answer
        } catch (error) {
          note({ event: 'failure', attempt, durationMs: took(), ...described(error) })
          throw error
        }
      },
      {
        ...retry,
        signal: scope.signal,
        totalTimeoutMs: leftMs(scope),
        shouldRetry: (error) => mayRepeat(error, repeatable),
        onRetry: ({ attempt, delayMs }) => note({ event: 'retry', attempt, delayMs }),
      },
    )
  }

  function once(operation: Operation, scope: Scope): Promise<WireAnswer> {
    const controller = new AbortController()
    return scoped(
      [scope.signal, controller.signal],
      Number.POSITIVE_INFINITY,
      async ({ signal }) => {
        const { correlationId } = operation
        const late = new GatewayNetworkError('The gateway did not answer in time', {
          correlationId,
        })
        const stop = after(Math.min(timeoutMs, leftMs(scope)), () => controller.abort(late))
        try {
          const answer = async () => {
            const headers = { ...(await txnHeader(txnToken)), ...headersOf(operation) }
            signal.throwIfAborted()
            return transport({ ...operation.draft, headers }, signal)
          }
          // A fetch that was passed in may not heed its signal.
          return await within(answer(), { ms: Number.POSITIVE_INFINITY, signal, late: () => late })
        } finally {
          stop()
        }
      },
    )
  }
}

/** Anew for each attempt: by the next one the token may have expired. */
async function txnHeader(given: TxnToken | undefined): Promise<Record<string, string>> {
  if (given === undefined) return {}
  const token = await currentTxnToken(given)
  if (token === undefined) throw invalid('txnToken gave no transaction token')
  return { 'Txn-Token': token }
}

function headersOf({ correlationId, proof }: Operation): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    'User-Agent': `vestry-sdk/${VERSION}`,
    'X-Correlation-Id': correlationId,
    ...traceHeader(),
    ...proof?.(),
  }
}

function refusal({ status, headers, text }: WireAnswer, correlationId: string): GatewayError {
  const id = extractCorrelationId(headers) ?? correlationId
  return createErrorFromResponse(status, { correlation_id: id, ...jsonObject(text) }, headers)
}

function described(error: unknown): Pick<GatewayLogEntry, 'statusCode' | 'code'> {
  if (!(error instanceof GatewayError)) return { code: 'ABORTED' }
  const code = error.errorCode ?? error.code
  return {
    ...(error.statusCode !== undefined && { statusCode: error.statusCode }),
    ...(code !== undefined && { code }),
  }
}
