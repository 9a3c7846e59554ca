/**
 * Anthropic's client, told as requests to a model and their answers: `coatAnthropic(new Anthropic())`.
 * Two methods of this one client are covered; its helpers, such as `messages.stream`, go through them.
 */
import { cover } from '../adapters/cover.ts'
import { framework } from '../adapters/framework.ts'
import type { AdapterOptions } from '../adapters/options.ts'
import { captureChoice } from '../adapters/options.ts'
import { quietly } from '../adapters/quietly.ts'
import { ModelCall } from './model-call.ts'
import { observedAnswer } from './observed-answer.ts'

export type { AdapterOptions } from '../adapters/options.ts'

/**
 * From now on the client's calls of `messages.create` and `beta.messages.create` are told, also those
 * that its own helpers make. Batches are not.
 *
 * @returns The same client.
 * @throws TypeError for what has no `messages.create`.
 */
export function coatAnthropic<Client extends object>(
  client: Client,
  options: AdapterOptions = {},
): Client {
  const given = client as { messages?: unknown; beta?: { messages?: unknown } } | null | undefined
  const isCovered = coverMessages(given?.messages, 'messages.create', options)
  if (!isCovered) throw new TypeError('coatAnthropic takes a client of @anthropic-ai/sdk')
  coverMessages(given?.beta?.messages, 'beta.messages.create', options)
  return client
}

function coverMessages(messages: unknown, fn: string, options: AdapterOptions): boolean {
  if (typeof messages !== 'object' || messages === null) return false
  const origin = framework('anthropic', ['@anthropic-ai/sdk'])
  const capture = captureChoice(options)
  return cover(
    messages,
    'create',
    (create) =>
      function (this: unknown, ...args) {
        const call = quietly(() => new ModelCall(fn, args, origin, capture))
        if (call === undefined) return Reflect.apply(create, this, args)
        let answer: unknown
        try {
          answer = call.span.run(() => Reflect.apply(create, this, args))
        } catch (error) {
          call.fail(error)
          throw error
        }
        return observedAnswer(answer, call)
      },
  )
}
