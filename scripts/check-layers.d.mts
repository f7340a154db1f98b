/** One line per violation, empty when all is well. */
export function checkLayers(options: { root: string }): Promise<string[]>;
