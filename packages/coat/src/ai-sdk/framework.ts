/** Which AI SDK is installed. Nothing of it is loaded: models and tools are wrapped by their shape. */
import { type Framework, framework } from '../adapters/framework.ts'

export const aiSdk = (): Framework => framework('ai-sdk', ['ai'])
