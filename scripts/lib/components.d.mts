export function fullPath(): string;
/** The program's file, where it is installed. */
export function findProgram(name: string): string | undefined;
export const components: readonly { programs: string[]; install: string; what: string }[];
