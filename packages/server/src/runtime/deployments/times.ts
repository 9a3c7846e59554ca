/** How long deployments wait, in milliseconds. */
export const TIMES = {
  /** To serve, before the answer says `deploying`. */
  readyMs: 20_000,
  /** For runs to end by themselves. */
  drainMs: 30_000,
  /** For runs that were told to end. */
  endMs: 60_000,
  /** To stop, before the answer says `stopping`. */
  answerMs: 15_000,
  /** After it nobody brings up any more what is still `deploying`. */
  deployingMs: 60_000,
  /** Before what could not be brought up is tried again; doubled each time. */
  retryMs: 1_000,
}
