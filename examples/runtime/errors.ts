/** What can go wrong, and how it is told apart. */
import {
  APIError,
  AuthenticationError,
  AuthenticationExpiredError,
  type Client,
  ConnectionError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  SymbiontError,
  TimeoutError,
} from '@vestry/sdk/runtime'

export async function reviewOrExplain(client: Client, reviewId: string): Promise<string> {
  try {
    const session = await client.getReviewSession(reviewId)
    return session.status
  } catch (error) {
    // The special ones first: each is one of its kind as well.
    if (error instanceof AuthenticationExpiredError) return 'The token is past its time'
    if (error instanceof AuthenticationError) return 'Please check your API key'
    if (error instanceof NotFoundError) return `Resource not found: ${error.responseText}`
    if (error instanceof RateLimitError) return `Come again in ${error.retryAfter} seconds`
    if (error instanceof PermissionDeniedError) return 'An administrator may do this'
    if (error instanceof APIError) return `API error (status ${error.statusCode}): ${error.code}`
    if (error instanceof TimeoutError) return 'There was no answer in time'
    if (error instanceof ConnectionError) return 'There was no answer at all'
    if (error instanceof SymbiontError) return `SDK error: ${error.message}`
    throw error
  }
}
