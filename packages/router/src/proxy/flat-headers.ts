// Headers as both ends of the proxy speak them: name, value, name, value. Names to look for are in lower case.

/** The first value of a header; undefined when there is none. */
export function firstValue(headers: readonly string[], name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) {
    const given = headers[at] as string;
    if (given.length === name.length && given.toLowerCase() === name) return headers[at + 1];
  }
  return undefined;
}

/** All values of a header, joined as one; undefined when there is none. */
export function joinedValues(headers: readonly string[], name: string): string | undefined {
  let value: string | undefined;
  for (let at = 0; at < headers.length; at += 2) {
    const given = headers[at] as string;
    if (given.length === name.length && given.toLowerCase() === name) value = value === undefined ? headers[at + 1] : `${value}, ${headers[at + 1]}`;
  }
  return value;
}

/** Name and value, two by two. */
export const pairsOf = (flat: readonly string[]): [string, string][] => flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] as string]] : []));
