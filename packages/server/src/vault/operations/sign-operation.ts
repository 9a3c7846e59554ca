/** `sign`, its old name `sign_payload`, and `verify` as operations of `use`. */
import type { Operation } from './operation.ts'
import {
  assertLegacy,
  readSignatures,
  readSigningRequest,
  type SigningRequest,
  sign,
  verify,
} from './sign.ts'

const PARAMS = ['data', 'payload', 'data_encoding', 'algorithm']

export const signOperation: Operation = {
  params: PARAMS,
  prepare(params, found) {
    const request = readSigningRequest(params, found)
    return {
      ...common(request),
      approvalParams: approvalParams(request),
      check: (credential) => assertLegacy(request, credential),
      async run({ open, note }) {
        const { secret, version, credential } = await open()
        using value = secret
        const signature = sign(request, value, credential)
        note({ version, algorithm: request.algorithm })
        return {
          result: {
            signature: signature.toString('base64'),
            signature_hex: signature.toString('hex'),
            algorithm: request.algorithm,
            encoding: 'base64',
            key_version: version,
          },
        }
      },
    }
  },
}

export const verifyOperation: Operation = {
  params: [...PARAMS, 'signature'],
  prepare(params, found) {
    const request = readSigningRequest(params, found)
    const signatures = readSignatures(params)
    return {
      ...common(request),
      approvalParams: { ...approvalParams(request), signatures: signatures.map(base64) },
      check: (credential) => assertLegacy(request, credential),
      async run({ open, note }) {
        const { secret, version, credential } = await open()
        using value = secret
        const valid = verify(request, signatures, value, credential)
        note({ version, algorithm: request.algorithm, valid })
        return { result: { valid, algorithm: request.algorithm, key_version: version } }
      },
    }
  },
}

function common({ algorithm, data }: SigningRequest) {
  return {
    context: { algorithm, dataBytes: data.length },
    data: { algorithm, bytes_in: data.length },
  }
}

function approvalParams({ algorithm, data }: SigningRequest) {
  return { algorithm, data: base64(data) }
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64')
}
