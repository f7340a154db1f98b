/** The first ```js block of a README: the example that must run as written in an empty project. */
export function firstExample(file: string): Promise<string>;
