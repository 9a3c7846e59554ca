/**
 * The pod door of the SDK: which agent this process is. Loading it loads `node:` modules and nothing else.
 *
 * @module
 */
export type { ClaimableAgent, ClaimInfo, GrantedClaim, WhoAmI } from './answers.ts'
export { type ClaimOptions, InPodClient, type InPodClientOptions } from './client.ts'
export { ClaimError, type ClaimErrorCode, type PodTransportCode } from './errors.ts'
