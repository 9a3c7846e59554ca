/** In which order the reasons against a call of a model are told (wire contract sage §18.3, §18.4). */
export const MODEL_RANKS = { scope: 10, provider: 20, category: 30, model: 40 } as const
