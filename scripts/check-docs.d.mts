/** One line per violation, empty when all is well. `write` joins docs/errors.md first. */
export function checkDocs(options: { root: string; write?: boolean }): Promise<string[]>;
