/** The server had forgotten the session, and a new one was begun: the message was not taken, and may be sent again. */
import { VestryError } from '@vestry/contract/errors'

export class SessionRenewed extends VestryError {
  constructor(server: string) {
    super('MCP_PROTOCOL_ERROR', `Server "${server}" lost its session, which was begun anew`)
  }
}
