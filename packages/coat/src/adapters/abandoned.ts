/** Streams that nobody reads to their end are collected one day: what is told of them ends then. */
import { quietly } from './quietly.ts'

const streams = new FinalizationRegistry<() => void>((end) => {
  quietly(end)
})

/** @param end May not refer to the stream, or it would never be collected. Called at most once. */
export function whenAbandoned(stream: object, end: () => void): void {
  quietly(() => streams.register(stream, end))
}
